"""Workers and the API are ended in order, one after the other, under load: as when a new version is rolled out.

``SENTINEL_FAULTS=long`` goes round ten times.
"""

import http.client
import os
import signal
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from deploy.state import start_time
from pipeline.journal import Lane
from tests.acceptance.calling import balanced_ledger, finished_upload
from tests.faults import accounts
from tests.faults.clients import Client, Poster, Uploader
from tests.faults.conftest import Installation
from tests.faults.victims import find, pid_of
from tests.integration.deploy.running import eventually

_ROUNDS = 10 if os.environ.get("SENTINEL_FAULTS") == "long" else 1
_PROCESSES = ("api", "realtime", "bulk", "alerts", "maintenance", "beat")
_LEASE_MICROS = 10_000_000
_BROKEN = 0  # nobody answered


@pytest.mark.timeout(120 + 60 * _ROUNDS)
def test_processes_that_are_ended_in_order_leave_nothing_behind(installation: Installation, tmp_path: Path) -> None:
    """
    Nothing is lost or judged twice, callers see 202, 503 or a broken connection, and no chunk waits for a lease to end.
    """
    up = installation.up
    balanced_ledger(up)
    clients: list[Client] = [Poster(up.port, 1, tmp_path / "posted"), Uploader(up.port, 2, tmp_path / "uploaded")]
    for client in clients:
        client.start()
    for name in _PROCESSES * _ROUNDS:
        _end_in_order(installation, name)
        eventually(partial(clients[0].is_acknowledged_more, than=len(clients[0].acknowledged)))
    for client in clients:
        client.end()

    assert all(client.statuses.keys() <= {_BROKEN, http.client.ACCEPTED, 503} for client in clients)
    for file in cast("Uploader", clients[1]).files:
        assert finished_upload(up, file.status_url)["judged"] == file.events
    assert balanced_ledger(up)["dead"] == 0
    tokens = {token for client in clients for token in client.sent}
    accounts.events_agree(accounts.of(accounts.recorded(installation.engine), tokens), clients)


def _end_in_order(on: Installation, name: str) -> None:
    """End a process as its launcher does; see that it holds no lease when it is gone, and that another takes over."""
    pid = pid_of(on.up, name)
    started = start_time(pid)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: start_time(pid) != started)
    if name in set(Lane):
        seconds, micros = on.redis.time()
        gone = seconds * 1_000_000 + micros
        # Whoever comes after it leases later.
        assert on.redis.zrangebyscore(f"sentinel:leased:{name}", "-inf", gone + _LEASE_MICROS) == []
    eventually(partial(_is_another, on, name, pid))


def _is_another(on: Installation, name: str, pid: int) -> bool:
    return find(on.up, name) not in {None, pid}
