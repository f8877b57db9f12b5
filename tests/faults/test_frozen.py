"""What lives and does nothing: a worker is noticed by what waits, told to operators, and restarted; so is the API.

It takes most of a minute, for that long a worker is given before it is taken for stuck. The API is given 15 s.
"""

import http.client
import json
import os
import signal
from pathlib import Path

from tests.integration.alerting.listener import Listener
from tests.integration.deploy.running import Stack, eventually, stack

_EVENT: dict[str, object] = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "a",
    "tool": "t",
    "prompt": "p",
    "response": "r",
}
_WITHIN = 120.0


def _pid(found: Stack, name: str) -> int:
    return next(child.pid for child in found.running().children if child.name == name)


def _state(found: Stack, receipt: dict[str, list[str]]) -> str:
    status, body = found.get(f"/api/receipts/{receipt['event_ids'][0]}")
    return str(json.loads(body)["state"]) if status == 200 else ""


def test_a_frozen_worker_is_noticed_told_and_restarted(tmp_path: Path) -> None:
    """
    The worker's main process hangs, its pulse and its pid are there: the event that waits betrays it, and is judged.
    """
    listener = Listener()
    listener.start()
    settings = {"SENTINEL_ALERT_WEBHOOK_URL": listener.url, "SENTINEL_ALERT_ALLOW_PRIVATE": "1"}
    try:
        with stack(tmp_path / "home", **settings) as found:
            frozen = _pid(found, "realtime")
            os.kill(frozen, signal.SIGSTOP)
            receipt = found.post(_EVENT)

            eventually(lambda: found.get("/readyz?full=1")[0] == 503, within=_WITHIN)
            eventually(lambda: _state(found, receipt) == "judged", within=_WITHIN)
            eventually(lambda: len(listener.posts) >= 2, within=_WITHIN)

            assert _pid(found, "realtime") != frozen
            assert "takes nothing up" in found.said()
            told = [post.event["data"] for post in listener.posts]
            assert [(each["kind"], each["subject"], each["state"]) for each in told] == [
                ("stuck", "realtime", "begun"),
                ("stuck", "realtime", "over"),
            ]
    finally:
        listener.stop()


def test_a_frozen_api_is_restarted_and_whoever_called_meanwhile_is_served(tmp_path: Path) -> None:
    """
    The launcher keeps the socket: who calls while nobody answers waits, and the next API takes the call.
    """
    with stack(tmp_path / "home") as found:
        frozen = _pid(found, "api")
        os.kill(frozen, signal.SIGSTOP)
        caller = http.client.HTTPConnection("127.0.0.1", found.port, timeout=_WITHIN)
        caller.request("GET", "/livez")

        assert caller.getresponse().status == 200
        caller.close()
        assert _pid(found, "api") != frozen
        assert "answers nobody" in found.said()
