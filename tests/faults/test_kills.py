"""Every kind of process is killed, again and again, while events are posted and files uploaded: nothing is lost.

``SENTINEL_SEED`` repeats a run's order of kills; ``SENTINEL_KILLS`` says how often each process is killed. One time in
six it is frozen first.
"""

import os
import secrets
import time
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
_HEALED_WITHIN = 60.0
_LONGEST_PAUSE = 2.4
_FROZEN_SHARE = 1 / 6
_FROZEN_TIMES_LONGER = 5  # up to twelve seconds: longer than a lease


@pytest.mark.timeout(600 + 60 * _EACH)
def test_nothing_is_lost_or_doubled_when_every_process_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Against the clients' own lists of 202s: one verdict each, one alert each flagged event, and a ledger that balances.
    """
    seed = int(os.environ.get("SENTINEL_SEED") or secrets.randbelow(1 << 32))
    with capsys.disabled():
        print(f"\nSENTINEL_SEED={seed} SENTINEL_KILLS={_EACH}")  # noqa: T201 - it repeats the run
    listener = Listener()
    listener.start()
    settings = {"SENTINEL_ALERT_WEBHOOK_URL": listener.url, "SENTINEL_ALERT_ALLOW_PRIVATE": "1"}
    with servers.temporary_folder() as folder, stack(folder / "home", **settings) as up, logs_on_failure(up):
        poster = Poster(up.port, seed, folder / "posted")
        uploader = Uploader(up.port, seed + 1, folder / "uploaded")
        _storm(up, poster, uploader, seed=seed)
        _settle_and_compare(up, poster, uploader, listener, folder)
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


def _settle_and_compare(up: Stack, poster: Poster, uploader: Uploader, listener: Listener, folder: Path) -> None:
    healed_by = time.monotonic() + _HEALED_WITHIN
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
    ledger = balanced_ledger(up, within=healed_by - time.monotonic())
    remembered = up.home.remembered()
    engine = make_engine(embedded_postgres.url(remembered.postgres_port or 0, remembered.postgres_password))
    eventually(lambda: accounts.untold(engine) == 0, within=healed_by - time.monotonic())

    found = accounts.recorded(engine)
    engine.dispose()
    accounts.events_agree(found, [poster, uploader])
    accounts.alerts_agree(found, listener.posts)
    assert found.dead_letters == 0
    assert get(up, "/api/dead-letters").json["items"] == []
    assert ledger["judged"] == len(found.events)
    print(  # noqa: T201 - what a long run is for
        f"{ledger['accepted']} events accepted, {ledger['duplicates']} of them sent again; {poster.refused} posts and "
        f"{uploader.refused} uploads refused; told {len(listener.posts)} alerts of {found.alerts.total()}; "
        f"all judged {time.monotonic() - healed_by + _HEALED_WITHIN:.1f} s after the last kill"
    )
    assert len([line for line in (folder / "posted").read_text().splitlines() if line]) == len(poster.acknowledged)
