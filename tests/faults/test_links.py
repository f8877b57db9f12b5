"""Links that are cut, half open, deaf, slow or reset: nothing is lost, and whoever was cut off comes back by itself.

``SENTINEL_FAULTS=long`` looks at every link with every fault, for up to a minute each.
"""

import http.client
import os
import time
from collections.abc import Iterator

import pytest

from tests import servers
from tests.acceptance.calling import Answer, event, post
from tests.faults.conftest import Installation
from tests.faults.links import Links, linked
from tests.faults.proxy import Fault, Proxy
from tests.faults.test_outages import consumes_on_every_queue, nothing_is_lost

_LONG = os.environ.get("SENTINEL_FAULTS") == "long"
_PROCESSES = ("api", "realtime", "bulk", "maintenance", "alerts", "all")
_EVERY = [
    (server, whose, fault, seconds)
    for server in ("redis", "postgres")
    for whose in _PROCESSES
    for fault in Fault
    for seconds in (1.0, 10.0, 60.0)
]
# The links whose loss was seen to stop a stock worker for good, and one of each kind of fault.
_FEW = [
    ("redis", "realtime", Fault.SILENT, 3.0),
    ("redis", "api", Fault.DEAF, 3.0),
    ("postgres", "realtime", Fault.SILENT, 3.0),
    ("postgres", "all", Fault.RESET, 2.0),
]
_CASES = _EVERY if _LONG else _FEW


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[Installation, Links]]:
    """Run one stack for all cases."""
    with servers.temporary_folder() as folder, linked(folder) as made:
        yield made


@pytest.fixture
def installation(whole: tuple[Installation, Links]) -> Installation:
    """Give the stack, whose logs are shown with a failure."""
    return whole[0]


@pytest.mark.parametrize(("server", "whose", "fault", "seconds"), _CASES)
def test_a_failing_link(
    installation: Installation, whole: tuple[Installation, Links], server: str, whose: str, fault: Fault, seconds: float
) -> None:
    """
    Every 202 meanwhile is judged once, 503 says when to come again, and every queue is consumed soon after it healed.
    """
    answers: list[Answer] = []
    proxy: Proxy = getattr(whole[1], server)
    before = proxy.hurt
    until = time.monotonic() + seconds
    with proxy.failing(fault, whose):
        while time.monotonic() < until:
            answers.append(post(installation.up, event()))
            time.sleep(0.1)
        assert proxy.hurt > before

    consumes_on_every_queue(installation)
    assert {answer.status for answer in answers} <= {202, 503}
    assert all(answer.headers.get("retry-after") for answer in answers if answer.status != http.client.ACCEPTED)
    accepted = [answer for answer in answers if answer.status == http.client.ACCEPTED]
    nothing_is_lost(installation, [event_id for answer in accepted for event_id in answer.json["event_ids"]])
