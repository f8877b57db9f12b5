"""Events that break whoever judges them: each ends alone among the dead letters, and its neighbours are judged.

``SENTINEL_FAULTS=long`` also tries those that cost a lease or a time limit each time: a rule that kills or hangs.
"""

import os
import time
from collections.abc import Iterator

import pytest

from tests import servers
from tests.acceptance.calling import balanced_ledger, event, get, judged, post, verdict
from tests.integration.deploy.running import ROOT, Stack, eventually, stack

_LONG = os.environ.get("SENTINEL_FAULTS") == "long"
_ERRORS = {"raise": "the rule failed", "eat": "MemoryError"}
_LONG_ERRORS = {"kill": "the worker died", "hang": "the worker died"}
_NEIGHBOURS = 6
# What comes along with one that kills or hangs waits for its lease, and for the time limit of the next attempt.
_LIVE_WITHIN = 25.0 if _LONG else 10.0
_PATCH = """
import os, signal, time
from detection import scanner
real, hoard = scanner.Scanner.scan, []
def scan(self, event):
    kind = event.prompt.partition("poison: ")[2]
    if kind == "raise": raise RuntimeError("the rule failed")
    if kind == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang": time.sleep(60)
    while kind == "eat": hoard.append(bytearray(1 << 26))  # reserved and not touched, for others use this machine
    return real(self, event)
scanner.Scanner.scan = scan
"""


@pytest.fixture(scope="module")
def up() -> Iterator[Stack]:
    """Run a stack some of whose rules are broken."""
    with servers.temporary_folder() as folder:
        (folder / "sitecustomize.py").write_text(_PATCH, encoding="utf-8")
        made = stack(folder / "home", PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)]))
        with made as running:
            eventually(running.is_ready)
            yield running


@pytest.mark.timeout(600 if _LONG else 180)
@pytest.mark.parametrize(("kind", "error"), (_ERRORS | (_LONG_ERRORS if _LONG else {})).items())
def test_one_poisonous_event_dies_alone(up: Stack, kind: str, error: str) -> None:
    """
    Its neighbours in the same chunk are judged, other posts do not wait for it, and the ledger counts it as dead.
    """
    before = len(get(up, "/api/dead-letters").json["items"])
    posted = [event(prompt=f"hello {number}") for number in range(_NEIGHBOURS)]
    posted.insert(_NEIGHBOURS // 2, event(prompt=f"poison: {kind}"))
    ids = post(up, posted).json["event_ids"]
    poisonous = ids.pop(_NEIGHBOURS // 2)

    began = time.monotonic()
    judged(up, event())
    assert time.monotonic() - began < _LIVE_WITHIN
    for event_id in ids:
        verdict(up, event_id, within=400 if _LONG else 60)
    eventually(lambda: len(get(up, "/api/dead-letters").json["items"]) == before + 1, within=400 if _LONG else 60)

    letters = get(up, "/api/dead-letters").json["items"]
    assert error in {letter["event_id"]: letter["error"] for letter in letters}[poisonous]
    assert get(up, f"/api/verdicts/{poisonous}").status == 404
    assert balanced_ledger(up)["dead"] == before + 1
