"""One child under watch: started, listened to, waited for."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable

from deploy import forking, process
from deploy.guard_link import GuardLink
from deploy.output import ServiceLog

_POLL_SECONDS = 0.05
_LAST_WORDS_SECONDS = 0.2


class _Reader(asyncio.Protocol):
    """Hands what arrives on a pipe to a log."""

    def __init__(self, log: ServiceLog) -> None:
        self._log = log
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Take what the child wrote."""
        self._log.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the framework's own signature
        """Note that nobody can write to the pipe any more."""
        self.ended.set()


class Watched:
    """A running child process."""

    def __init__(self, running: forking.Running, guard: GuardLink, reader: _Reader) -> None:
        self.pid = running.pid
        self._running = running
        self._guard = guard
        self._reader = reader

    @classmethod
    async def start(cls, spec: process.ProcessSpec, log: ServiceLog, guard: GuardLink, lock: int) -> "Watched":
        """Start a child; its output goes to ``log``, and it holds the data folder's ``lock``.

        Raises:
            OSError: it could not be started.
        """
        reading, writing = os.pipe()
        try:
            running = forking.run(spec, writing, keep_open=(lock,))
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        guard.add(running.pid, spec.orphan_signal)
        reader = _Reader(log)
        await asyncio.get_running_loop().connect_read_pipe(lambda: reader, os.fdopen(reading, "rb", buffering=0))
        return cls(running, guard, reader)

    async def wait(self) -> int:
        """Wait until the child has ended, and end what is left of its group. Returns its exit status."""
        await _ended(self._running)
        status = self._running.wait()
        process.kill_group(self.pid)
        self._guard.remove(self.pid)
        # Its last words may still be in the pipe; a grandchild in a session of its own may hold that open for longer.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._reader.ended.wait(), _LAST_WORDS_SECONDS)
        return status

    def send(self, number: signal.Signals) -> None:
        """Send the child a signal."""
        self._running.send_signal(number)

    def kill(self) -> None:
        """End the child and its group at once."""
        process.kill_group(self.pid)


async def _ended(running: forking.Running) -> None:
    # No thread waits for the child: a fork in a process with threads is not safe.
    if sys.platform == "linux":
        try:
            descriptor = os.pidfd_open(running.pid)
        except OSError:
            pass
        else:
            await _readable(descriptor)
            return
    while running.poll() is None:  # noqa: ASYNC110 - there is nothing else to wait for
        await asyncio.sleep(_POLL_SECONDS)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    wake: Callable[[], None] = lambda: None if ready.done() else ready.set_result(None)  # noqa: E731
    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
