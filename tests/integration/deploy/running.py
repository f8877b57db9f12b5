"""The whole stack as a user runs it, for tests: one command in a folder of its own, on ports of its own."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy import ports
from deploy.state import Home, Running

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0
# Rules are compiled once for all stacks of a run.
_SHARED = {"SENTINEL_RULE_CACHE"}


def eventually(happens: Callable[[], object], *, within: float = PATIENCE) -> None:
    """Wait for something to become true, and fail when it does not."""
    until = time.monotonic() + within
    while not happens():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


class Stack:
    """A data folder, its ports, and the command line to use on them."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Choose the ports; nothing is started."""
        self.home = Home(folder)
        self.port, self.flower_port = ports.choose(), ports.choose()
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("SENTINEL_") or name in _SHARED
        }
        self.env = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "SENTINEL_HOME": str(folder),
            "SENTINEL_PORT": str(self.port),
            "SENTINEL_FLOWER_PORT": str(self.flower_port),
            **settings,
        }
        self.launcher: subprocess.Popen[bytes] | None = None
        self.output = folder.with_name(f"{folder.name}.out")

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run ``sentinel`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments],
            check=False, capture_output=True, text=True, timeout=PATIENCE, env={**self.env, **settings}, cwd=ROOT,
        )  # fmt: skip

    def start(self) -> None:
        """Run ``sentinel up`` and wait for its first screen."""
        with self.output.open("wb") as output:
            self.launcher = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "up"],
                env=self.env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        eventually(lambda: "is ready" in self.said() or self._has_ended, within=3 * PATIENCE)
        assert "is ready" in self.said(), self.said()

    @property
    def _has_ended(self) -> bool:
        return self.launcher is None or self.launcher.poll() is not None

    def said(self) -> str:
        """Return what the launcher printed."""
        return self.output.read_text(encoding="utf-8")

    def running(self) -> Running:
        """Return what the launcher wrote down about itself."""
        running = self.home.running()
        assert running is not None
        return running

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body of a page; status 0 when nothing answers."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""

    def post(self, event: dict[str, object]) -> dict[str, Any]:
        """Post an event. Returns the receipt."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", "/api/events", json.dumps(event), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 202
        receipt: dict[str, Any] = json.loads(answer.read())
        return receipt

    def is_ready(self) -> bool:
        """Say whether every part works."""
        return self.get("/readyz?full=1")[0] == 200

    def end(self) -> None:
        """End whatever is left."""
        if self.launcher is not None:
            self.launcher.kill()
            self.launcher.wait()
        eventually(lambda: not self.home.holders(), within=10)


@contextmanager
def stack(folder: Path, **settings: str) -> Iterator[Stack]:
    """Run the stack during a block."""
    made = Stack(folder, **settings)
    try:
        made.start()
        yield made
    finally:
        made.end()
