"""The supervisor: starts children in stages, starts them again when they end, and ends them in reverse."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from deploy.errors import FolderUnusable, StackFailed
from deploy.guard_link import GuardLink
from deploy.output import Console, ServiceLog
from deploy.process import ProcessSpec
from deploy.state import Child, Home, start_time
from deploy.watched import Watched

_BACK_OFF_FIRST = 0.2
_BACK_OFF_MOST = 5.0
_HEALTHY_SECONDS = 10.0
_EXITS_BEFORE_READY = 5
_GUARD_CHECK_SECONDS = 0.5


@dataclass(slots=True)
class _Service:
    """A child that is kept running."""

    spec: ProcessSpec
    log: ServiceLog
    stage: int
    restarts: int = 0
    exits: int = 0
    child: Watched | None = None
    task: asyncio.Task[None] | None = None
    wanted: bool = True
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Keeps the processes of one data folder running."""

    def __init__(self, home: Home, lock: int, console: Console, changed: Callable[[], None]) -> None:
        self._home = home
        self._lock = lock
        self._console = console
        self._changed = changed
        self._services: dict[str, _Service] = {}
        self._guard = GuardLink(lock)
        self._guard_task = asyncio.create_task(self._keep_guard())
        self._hurry = asyncio.Event()
        self.was_ready = False
        self.failed: asyncio.Future[StackFailed] = asyncio.get_running_loop().create_future()

    def add(self, specs: Sequence[ProcessSpec], *, stage: int) -> None:
        """Start processes and keep them running. Those of the highest stage are ended first."""
        for spec in specs:
            service = _Service(spec, ServiceLog(spec.name, self._home.logs, self._console), stage)
            self._services[spec.name] = service
            service.task = asyncio.create_task(self._keep(service))

    async def run_once(self, spec: ProcessSpec) -> int:
        """Run a process to its end, and show what it says. Returns its exit status."""
        log = ServiceLog(spec.name, self._home.logs, self._console, loud=True)
        child = await Watched.start(spec, log, self._guard, self._lock)
        try:
            status = await child.wait()
        except asyncio.CancelledError:
            child.kill()
            await child.wait()
            raise
        log.close()
        return status

    def children(self) -> tuple[Child, ...]:
        """Return who is running now."""
        found = [
            Child(name, service.child.pid, start_time(service.child.pid) or "", service.restarts)
            for name, service in self._services.items()
            if service.child is not None
        ]
        return (*found, Child("guard", self._guard.pid, start_time(self._guard.pid) or "", 0))

    def announce(self) -> None:
        """Have it written down who is running. Where that fails, as on a full disk, they are kept running."""
        try:
            self._changed()
        except FolderUnusable as error:
            self._console.say(f"{error} Until then `sentinel status` may err.")

    def restart(self, name: str, why: str) -> bool:
        """Kill a child with its whole group; it is started again as any that died. Returns whether there was one."""
        service = self._services.get(name)
        if service is None or service.child is None or not service.wanted:
            return False
        service.log.note(f"{why}; killing it")
        self._console.say(f"{name:<11} | {why}; killing it")
        service.child.kill()
        return True

    def hurry(self) -> None:
        """End at once what is still being ended in order."""
        self._hurry.set()

    async def stop(self, patience: dict[int, float]) -> None:
        """End everything, stage by stage from the highest, each within its ``patience``."""
        self._console.quiet = True
        for stage in sorted({service.stage for service in self._services.values()}, reverse=True):
            chosen = [service for service in self._services.values() if service.stage == stage]
            await self._end(chosen, patience.get(stage, 3.0))
        self._guard_task.cancel()
        self._guard.close()

    async def _end(self, services: Sequence[_Service], patience: float) -> None:
        for service in services:
            service.wanted = False
            service.idle.set()
            if service.child is not None:
                service.child.send(service.spec.stop_signal)
        tasks = [service.task for service in services if service.task is not None]
        if not tasks:
            return
        hurry = asyncio.create_task(self._hurry.wait())
        until = time.monotonic() + patience
        pending: set[asyncio.Task[object]] = {*tasks}
        while pending and time.monotonic() < until and not hurry.done():
            left = until - time.monotonic()
            done, _ = await asyncio.wait({*pending, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            pending -= done
        hurry.cancel()
        for service in services:
            if service.child is not None:
                service.log.note("did not end in time and was killed")
                service.child.kill()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, service: _Service) -> None:
        """Run one child again and again until it is not wanted any more."""
        while service.wanted:
            began = time.monotonic()
            why = await self._run(service)
            if not service.wanted:
                break
            service.exits = 1 if time.monotonic() - began >= _HEALTHY_SECONDS else service.exits + 1
            if not self.was_ready and service.exits >= _EXITS_BEFORE_READY:
                self._fail(service, why)
                break
            await self._back_off(service, why)
        service.log.close()

    async def _run(self, service: _Service) -> str:
        """Run one child once. Returns why it ended."""
        try:
            service.child = await Watched.start(service.spec, service.log, self._guard, self._lock)
        except Exception as error:  # noqa: BLE001 - whatever it is, a child that is not tried again stays away
            return f"could not be started: {error!r}"
        if not service.wanted:
            service.child.send(service.spec.stop_signal)
        self.announce()
        status = await service.child.wait()
        service.child = None
        return _why(status)

    async def _back_off(self, service: _Service, why: str) -> None:
        wait = min(_BACK_OFF_FIRST * 2 ** (service.exits - 1), _BACK_OFF_MOST)
        told = f"{why}; starting it again in {wait:.1f} s"
        service.log.note(told)
        if not self._console.quiet:
            self._console.say(f"{service.spec.name:<11} | {told}")
        service.restarts += 1
        self.announce()
        try:
            await asyncio.wait_for(service.idle.wait(), wait)
        except TimeoutError:
            return

    def _fail(self, service: _Service, why: str) -> None:
        said = "\n".join(f"    {line}" for line in service.log.last)
        message = f"{service.spec.name} keeps failing: {why}. Its last lines ({service.log.path}):\n{said}"
        if not self.failed.done():
            self.failed.set_result(StackFailed(message))

    async def _keep_guard(self) -> None:
        while True:
            await asyncio.sleep(_GUARD_CHECK_SECONDS)
            if self._guard.heal():
                self.announce()


def _why(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    known = {number.value: number.name for number in signal.Signals}
    return f"killed by {known.get(-status, f'signal {-status}')}"
