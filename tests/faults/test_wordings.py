"""Four slips of the protocol, put into a running stack: the kills find each of them out, and nothing without one.

The exploration finds them between any two steps; this shows that the suite on real processes is not blind either. Where
a kill at random would have to be lucky, it is directed: at the one moment when it matters. ``SENTINEL_FAULTS=long``
tries all of them.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.ids import EventId
from pipeline.journal import Lane
from pipeline.storage import transaction
from tests import servers
from tests.acceptance.calling import event, get
from tests.faults.conftest import Installation
from tests.faults.links import linked
from tests.faults.test_outages import answer_of, signs
from tests.faults.victims import frozen, kill, pid_of
from tests.integration.deploy.running import ROOT, eventually
from tests.integration.pipeline.wordings import unkeyed

_AS_IT_IS, _UNGUARDED, _NO_UNIQUE_ID = "as it is", "unguarded sweep", "no unique chunk id"
_FINDS = {
    _AS_IT_IS: set(),
    "delete before commit": {"lost"},
    "publish before journal": {"lost"},
    _NO_UNIQUE_ID: {"doubled"},
    _UNGUARDED: {"rung twice"},
}
_ALL = os.environ.get("SENTINEL_FAULTS") == "long"
_SWEEPS = 2
# Looked at whenever it matters, so that one stack serves all.
_PATCH = """
import asyncio, os, signal, time
from pathlib import Path
from pipeline import intake, journal
from pipeline.storage import verdicts
from workers import detect, sweep

folder = Path(__file__).parent
judge, claim, accept, oldest_ring = detect._judge, verdicts.claim, intake.Intake.accept, sweep.oldest_ring

def has(wording):
    return (folder / "wording").read_text() == wording

def die_once():
    try:
        (folder / "die").unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)

def judged(several, bench):
    if has("delete before commit"):
        bench.journal.settle(*(leased.entry_id for leased in several))
        die_once()
    outcome = judge(several, bench)
    die_once()
    return outcome

def claimed(connection, claims):
    found = claim(connection, claims)
    return dict.fromkeys(found, verdicts.Found.NOTHING) if has("no unique chunk id") else found

async def accepted(self, *arguments):
    if not has("publish before journal"):
        return await accept(self, *arguments)
    async def later():
        await asyncio.sleep(0.5)
        await accept(self, *arguments)
    self.later = asyncio.create_task(later())
    return time.time_ns() // 1000, []

journal.Journal.__init__.__kwdefaults__["lease_seconds"] = 2.0
detect._judge, verdicts.claim, intake.Intake.accept = judged, claimed, accepted
sweep.oldest_ring = lambda *arguments: "9" * 17 if has("unguarded sweep") else oldest_ring(*arguments)
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Make the folder that says which wording is in force."""
    with servers.temporary_folder() as made:
        (made / "sitecustomize.py").write_text(_PATCH, encoding="utf-8")
        (made / "wording").write_text(_AS_IT_IS, encoding="utf-8")
        yield made


@pytest.fixture(scope="module")
def whole(folder: Path) -> Iterator[Installation]:
    """Run a stack whose wording can be changed, with short leases."""
    settings = {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "SENTINEL_CANARY_SECONDS": "0",
    }
    with linked(folder, **settings) as (made, _):
        yield made


@pytest.fixture
def installation(whole: Installation) -> Installation:
    """Give the stack, whose logs are shown with a failure."""
    return whole


@pytest.mark.parametrize("wording", _FINDS if _ALL else list(_FINDS)[:2])
def test_the_suite_finds_a_slip_out(installation: Installation, folder: Path, wording: str) -> None:
    """
    The same three faults lose, double and repeat nothing as it is, and with each slip just what that slip is about.
    """
    (folder / "wording").write_text(wording, encoding="utf-8")
    with unkeyed(installation.engine) if wording == _NO_UNIQUE_ID else nullcontext():
        acknowledged = [*_a_worker_dies_between_its_two_writes(installation, folder), *_the_api_dies(installation)]
        found = {"rung twice"} if _bells_while_nobody_hears(installation) > 1 else set()
        eventually(lambda: _is_at_rest(installation))
        stored = _stored(installation)
    found |= {"lost"} if set(acknowledged) - stored.keys() else set()
    found |= {"doubled"} if max(stored.values(), default=0) > 1 else set()

    assert found == _FINDS[wording]


def _a_worker_dies_between_its_two_writes(on: Installation, folder: Path) -> list[str]:
    """Kill whoever has committed and not settled, or the other way round. Returns what was acknowledged."""
    (folder / "die").touch()
    answer = answer_of(on, [event(tool="os_shell"), event()])
    eventually(lambda: not (folder / "die").exists())
    return list(answer.json["event_ids"])


def _the_api_dies(on: Installation) -> list[str]:
    """Kill the API as soon as it has answered. Returns what was acknowledged."""
    answer = answer_of(on, event())
    kill(on.up, "api")
    return list(answer.json["event_ids"])


def _bells_while_nobody_hears(on: Installation) -> int:
    """Have a few sweeps pass while a worker is frozen. Returns how often one chunk waits on the queue at most."""
    with frozen([pid_of(on.up, "realtime")]):
        for _ in range(_SWEEPS):
            answer_of(on, event())
            eventually(partial(_is_swept, on, since=signs(on)["maintenance"]))
        headers = (json.loads(message)["headers"] for message in on.redis.lrange(str(Lane.REALTIME), 0, -1))
        bells = Counter(found["chunk"] for found in headers if "chunk" in found)
    return max(bells.values(), default=0)


def _is_swept(on: Installation, *, since: float) -> bool:
    return signs(on)["maintenance"] > since


def _is_at_rest(on: Installation) -> bool:
    return not any(on.redis.exists(f"sentinel:open:{lane}") for lane in Lane) and get(on.up, "/readyz").status == 200


def _stored(on: Installation) -> Counter[str]:
    with transaction(on.engine) as connection:
        rows = connection.execute(text("SELECT chunk, position FROM events")).all()
    return Counter(str(EventId(chunk, position)) for chunk, position in rows)
