"""Children of ours are forked from the launcher: what it has loaded, modules and rules, they share with each other.

A new interpreter spends its first second loading, and keeps what it loaded for itself. A fork does neither; and one
that takes the place of another that died is there at once. The launcher has one thread, which is what makes a fork of
it safe. On systems other than Linux, children are started anew.
"""

import asyncio
import ctypes
import gc
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn, Protocol

from deploy.process import ProcessSpec, child_setup, start

_PR_SET_NAME = 15
_NAME_BYTES = 15
_LIBC = ctypes.CDLL(None, use_errno=True)
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Running(Protocol):
    """A child, however it was started."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, as ``subprocess`` writes it, None while it runs."""

    def wait(self) -> int:
        """Wait for the end. Returns the exit status."""

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""


class Forked:
    """A child that was forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """Wait for the end. Returns the exit status."""
        status = self._reap(0)
        return 0 if status is None else status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _reap(self, options: int) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


def run(spec: ProcessSpec, output: int, *, keep_open: Sequence[int]) -> Running:
    """Start a child whose output goes to a pipe, and that inherits the descriptors ``keep_open``.

    Raises:
        OSError: it could not be started.
    """
    if spec.module is None or sys.platform != "linux":
        return start(spec, output, keep_open=keep_open)
    _load(spec.loads)
    sys.stdout.flush()
    sys.stderr.flush()
    setup = child_setup(spec)
    # A signal that came before the child has let go of the launcher's handlers would reach the launcher.
    signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(output, 2)
                os.setsid()
                setup()
                _become(spec, output, {*keep_open, *spec.keep_open})
            except BaseException:  # noqa: BLE001 - the launcher's frames lie above, and only its log is its own
                os.write(2, traceback.format_exc().encode())
            finally:
                # Nothing of the launcher may go on here, whatever happens.
                os._exit(1)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    return Forked(pid)


def _load(names: Sequence[str]) -> None:
    # What does not load is the child's to say, in its own log, when it loads it itself.
    with suppress(Exception):
        for name in names:
            module, _, function = name.partition(":")
            loaded = import_module(module)
            if function:
                getattr(loaded, function)()
    # What is collected would be written to, and so be copied; what is garbage by now would be kept for ever.
    gc.collect()
    gc.freeze()
    if hasattr(_LIBC, "malloc_trim"):  # of what was needed to load rules, a tenth is kept otherwise
        _LIBC.malloc_trim(0)


def _become(spec: ProcessSpec, output: int, keep_open: Collection[int]) -> NoReturn:
    """Make this fork of the launcher what it would be if it had been started anew, and run its program."""
    _plug(output, keep_open)
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    asyncio.set_event_loop(None)
    _settle(spec.env)
    os.chdir(spec.cwd)
    _LIBC.prctl(_PR_SET_NAME, spec.name.encode()[:_NAME_BYTES], 0, 0, 0)
    sys.argv = list(spec.argv[spec.argv.index("-m") + 1 :])
    os._exit(_run(spec.module or ""))


def _run(module: str) -> int:
    """Run a module as ``python -m`` does. Returns the exit status."""
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        status = ended.code
    except BaseException:  # noqa: BLE001 - the launcher's frames lie above, and are no place to go back to
        traceback.print_exc()
        status = 1
    if status is not None and not isinstance(status, int):
        print(status, file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(status or 0)


def _plug(output: int, keep_open: Collection[int]) -> None:
    """Have output and errors go to the pipe, and close everything else that the launcher had open."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(number, target)
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        number = int(entry)
        if number > 2 and number not in keep_open:  # noqa: PLR2004 - the standard streams
            try:
                os.close(number)
            except OSError:  # the one that listed them
                continue
    for number in keep_open:
        os.set_inheritable(number, True)  # noqa: FBT003 - the standard library's own signature
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )


def _settle(env: Mapping[str, str]) -> None:
    for name in os.environ.keys() - env.keys():
        del os.environ[name]
    os.environ.update(env)
    # As with -P: a stranger's folder of the same name in the working folder must not be imported.
    kept = [path for path in sys.path if path not in {"", str(Path.cwd())}]
    sys.path[:] = [*env.get("PYTHONPATH", "").split(os.pathsep), *kept]
