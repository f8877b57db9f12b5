"""A large upload is worked through while single events keep coming."""

import http.client
import json
import time

from tests.acceptance.calling import Answer, balanced_ledger, event, finished_upload, get, post, upload, verdict
from tests.faults.conftest import Installation

_EVENTS = 100_000
_FLAGGED_EVERY = 1_000
_PAUSE = 0.05


def test_single_events_are_judged_while_a_large_file_is(installation: Installation) -> None:
    """
    Every event of both is judged, and the single ones posted meanwhile do not wait for the file's end.
    """
    up = installation.up
    plain, flagged = json.dumps(event(prompt="Hello")), json.dumps(event(prompt="Hello", tool="os_shell"))
    lines = [plain if number % _FLAGGED_EVERY else flagged for number in range(_EVENTS)]
    taken = upload(up.port, f"[{','.join(lines)}]".encode())
    assert taken.status == http.client.ACCEPTED
    posted = _post_until_done(installation, taken)

    status = finished_upload(up, taken.json["status_url"], within=120)
    counts = {name: status[name] for name in ("state", "accepted", "judged", "rejected", "flagged", "dead")}
    assert counts == {
        "state": "done", "accepted": _EVENTS, "judged": _EVENTS, "rejected": 0, "flagged": _EVENTS // _FLAGGED_EVERY,
        "dead": 0,
    }  # fmt: skip
    for event_id in posted:
        verdict(up, event_id)
    balanced_ledger(up)


def _post_until_done(on: Installation, taken: Answer) -> list[str]:
    """Post single events while the file is worked on; see that the first of them are judged before it is done."""
    posted: list[str] = []
    waiting: list[str] = []
    judged_meanwhile = 0
    while get(on.up, taken.json["status_url"]).json["state"] != "done":
        answer = post(on.up, event())
        assert answer.status == http.client.ACCEPTED
        posted += answer.json["event_ids"]
        waiting += answer.json["event_ids"]
        time.sleep(_PAUSE)
        if get(on.up, f"/api/verdicts/{waiting[0]}").status == http.client.OK:
            waiting.pop(0)
            judged_meanwhile += 1
    assert judged_meanwhile > len(posted) // 2
    return posted
