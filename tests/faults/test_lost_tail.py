"""Redis loses the end of its log, as after a power cut on a disk that lied: the loss is real, and the ledger tells it.

``SENTINEL_SEED`` repeats a run's cut; ``SENTINEL_FAULTS=long`` cuts twenty times.
"""

import http.client
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from pipeline.storage import transaction
from tests import servers
from tests.acceptance.calling import event, get, post
from tests.faults.conftest import Installation
from tests.faults.links import linked
from tests.faults.victims import frozen, pid_of
from tests.integration.deploy.running import eventually

_LONG = os.environ.get("SENTINEL_FAULTS") == "long"
_POSTS = 40
_TOLD_WITHIN = 10.0
_LOST = "SELECT coalesce(sum(events), 0) FROM witness"
_STORED = "SELECT count(*) FROM events"


@pytest.mark.timeout(1800 if _LONG else 180)
def test_the_ledger_reports_exactly_what_redis_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """
    Every event that was acknowledged and is neither judged nor waiting is in the deficit, within ten seconds.
    """
    seed = int(os.environ.get("SENTINEL_SEED") or secrets.randbelow(1 << 32))
    with capsys.disabled():
        print(f"\nSENTINEL_SEED={seed}")  # noqa: T201 - it repeats the run
    random, lost = Random(seed), 0  # noqa: S311 - a run has to be repeatable
    with servers.temporary_folder() as folder, linked(folder) as (on, _):
        for _ in range(20 if _LONG else 2):
            acknowledged, judged = lost + _count(on, _STORED), _count(on, _STORED)
            with frozen(pid_of(on.up, name) for name in ("realtime", "bulk")), _cut(on, folder, random):
                acknowledged += _post(on, judged + lost)
            eventually(lambda: _at_rest(on), within=60)
            lost = acknowledged - _count(on, _STORED)
            eventually(partial(_tells, on, lost), within=_TOLD_WITHIN)
        assert lost > 0


def _post(on: Installation, before: int) -> int:
    """Post what nobody judges, and wait until the witness knows of it. Returns how many events were acknowledged."""
    ids = [event_id for _ in range(_POSTS) for event_id in post(on.up, event()).json["event_ids"]]
    eventually(lambda: _count(on, _LOST) >= before + len(ids))
    return len(ids)


@contextmanager
def _cut(on: Installation, folder: Path, random: Random) -> Iterator[None]:
    """Cut off the end of what was written during the block, at any byte."""
    log = max((folder / "valkey").rglob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    start = log.stat().st_size
    yield
    on.valkey.kill()
    end = log.stat().st_size
    os.truncate(log, random.randint(start, end))
    on.valkey.restart()


def _at_rest(on: Installation) -> bool:
    answer = get(on.up, "/api/ledger")
    return answer.status == http.client.OK and answer.json["in_flight"] == 0 and on.up.is_ready()


def _tells(on: Installation, lost: int) -> bool:
    return bool(get(on.up, "/api/ledger").json["deficit"] == lost)


def _count(on: Installation, query: str) -> int:
    with transaction(on.engine) as connection:
        return int(connection.execute(text(query)).scalar_one())
