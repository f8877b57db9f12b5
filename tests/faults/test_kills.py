"""Every kind of process is killed, again and again, while events are posted and files uploaded: nothing is lost.

``SENTINEL_SEED`` repeats a run's order of kills; ``SENTINEL_KILLS`` says how often each process is killed, and
``SENTINEL_STORMS`` on how many stacks, each with a seed of its own. One time in six it is frozen first.
"""

import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from deploy import embedded_postgres
from pipeline.storage import make_engine
from tests import servers
from tests.acceptance.calling import balanced_ledger, finished_upload, get
from tests.faults import accounts
from tests.faults.clients import Poster, Uploader
from tests.faults.victims import PROCESSES, ends_of_logs, freeze_and_kill, kill
from tests.integration.alerting.listener import Listener
from tests.integration.deploy.running import Stack, eventually, stack

_EACH = int(os.environ.get("SENTINEL_KILLS") or 3)
_STORMS = int(os.environ.get("SENTINEL_STORMS") or 1)
_SEED = int(os.environ.get("SENTINEL_SEED") or secrets.randbelow(1 << 32))
_HEALED_WITHIN = 30.0
_LONGEST_PAUSE = 2.4
_FROZEN_SHARE = 1 / 6
_FROZEN_TIMES_LONGER = 5  # up to twelve seconds: longer than a lease


@pytest.fixture(scope="module")
def totals() -> Iterator[Counter[str]]:
    """Sum up what the storms did, and print it after the last one."""
    summed: Counter[str] = Counter()
    yield summed
    print(", ".join(f"{count} {what}" for what, count in summed.items()))  # noqa: T201 - what a long run is for


@pytest.mark.timeout(600 + 60 * _EACH)
@pytest.mark.parametrize("storm", range(_STORMS))
def test_nothing_is_lost_or_doubled_when_every_process_is_killed(
    storm: int, totals: Counter[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """
    Against the clients' own lists of 202s: one verdict each, one alert each flagged event, and a ledger that balances.
    """
    seed = _SEED + storm
    with capsys.disabled():
        print(f"\nSENTINEL_SEED={seed} SENTINEL_KILLS={_EACH}")  # noqa: T201 - it repeats the run
    listener = Listener()
    listener.start()
    settings = {"SENTINEL_ALERT_WEBHOOK_URL": listener.url, "SENTINEL_ALERT_ALLOW_PRIVATE": "1"}
    with servers.temporary_folder() as folder, stack(folder / "home", **settings) as up, logs_on_failure(up):
        poster = Poster(up.port, seed, folder / "posted")
        uploader = Uploader(up.port, seed + 1, folder / "uploaded")
        _storm(up, poster, uploader, seed=seed)
        totals += _settle_and_compare(up, poster, uploader, listener, folder)
    totals["processes killed or frozen"] += len(PROCESSES) * _EACH
    totals["storms"] += 1
    listener.stop()


@contextmanager
def logs_on_failure(up: Stack) -> Iterator[None]:
    """Print the ends of the stack's logs when the block fails, for its data folder is gone afterwards."""
    try:
        yield
    except BaseException:
        print(ends_of_logs(up))  # noqa: T201 - pytest shows it with the failure
        raise


def _storm(up: Stack, poster: Poster, uploader: Uploader, *, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a run has to be repeatable
    order = [victim for victim in PROCESSES for _ in range(_EACH)]
    random.shuffle(order)
    poster.start()
    uploader.start()
    for victim in order:
        pause = random.uniform(0, _LONGEST_PAUSE)
        if random.random() < _FROZEN_SHARE:
            freeze_and_kill(up, victim, seconds=_FROZEN_TIMES_LONGER * pause)
        else:
            time.sleep(pause)
            kill(up, victim)


def _settle_and_compare(
    up: Stack, poster: Poster, uploader: Uploader, listener: Listener, folder: Path
) -> Counter[str]:
    began = time.monotonic()
    healed_by = began + _HEALED_WITHIN
    # Some are posted to the healing stack, too.
    acknowledged = len(poster.acknowledged)
    eventually(lambda: len(poster.acknowledged) > acknowledged)
    uploader.end()
    poster.end()
    assert uploader.files
    for file in uploader.files:
        status = finished_upload(up, file.status_url, within=healed_by - time.monotonic())
        counts = {name: status[name] for name in ("state", "accepted", "judged", "rejected", "flagged", "dead")}
        assert counts == {
            "state": "done", "accepted": file.events, "judged": file.events, "rejected": 0, "flagged": file.flagged,
            "dead": 0,
        }  # fmt: skip
    uploads_after = time.monotonic() - began
    ledger = balanced_ledger(up, within=healed_by - time.monotonic())
    balanced_after = time.monotonic() - began
    remembered = up.home.remembered()
    engine = make_engine(embedded_postgres.url(remembered.postgres_port or 0, remembered.postgres_password))
    eventually(lambda: accounts.untold(engine) == 0, within=healed_by - time.monotonic())
    told_after = time.monotonic() - began

    found = accounts.recorded(engine)
    engine.dispose()
    accounts.events_agree(found, [poster, uploader])
    accounts.alerts_agree(found, listener.posts)
    assert found.dead_letters == 0
    assert get(up, "/api/dead-letters").json["items"] == []
    assert ledger["judged"] == len(found.events)
    print(  # noqa: T201 - what a long run is for
        f"after the last kill all uploads were done in {uploads_after:.1f} s, all events judged in "
        f"{balanced_after:.1f} s, all alerts told in {told_after:.1f} s"
    )
    assert len([line for line in (folder / "posted").read_text().splitlines() if line]) == len(poster.acknowledged)
    return Counter({
        "events accepted": ledger["accepted"], "sent again": ledger["duplicates"], "posts refused": poster.refused,
        "uploads refused": uploader.refused, "alerts": found.alerts.total(), "times told": len(listener.posts),
    })  # fmt: skip
