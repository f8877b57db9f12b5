"""``sentinel down`` and ``sentinel status``: looking at, and ending, what ``sentinel up`` runs."""

import asyncio
import os
import signal
import time

import typer

from deploy import embedded_postgres, readiness, settings_check
from deploy.errors import DeployError
from deploy.settings import LauncherSettings
from deploy.state import Home, Running, start_time

_PATIENCE = 15.0
_OK = 200
_NOT_READY = 1
_NOT_RUNNING = 3


class NotRunning(DeployError):
    """Nothing runs in this data folder: start it with `sentinel up`, or set SENTINEL_DATABASE_URL."""

    exit_code = _NOT_RUNNING


class StillRunning(DeployError):
    """The stack was asked to stop, and has not done so in time."""


def database_url() -> str:
    """Return the address of the database in use: the one set, else that of the running stack.

    Raises:
        NotRunning: no address is set, and no stack runs in the data folder.
        WrongSettings: the address that is set cannot be used.
    """
    pipe = settings_check.pipe_settings()
    if "database_url" in pipe.model_fields_set:
        return pipe.database_url.get_secret_value()
    remembered = _running(Home(pipe.home)) and Home(pipe.home).remembered()
    if not remembered or remembered.postgres_port is None:
        raise NotRunning
    return embedded_postgres.url(remembered.postgres_port, remembered.postgres_password)


def down() -> int:
    """Stop the running stack and wait until none of its processes is left. Returns the exit status.

    Raises:
        StillRunning: it did not end in time.
    """
    home = Home(settings_check.pipe_settings().home)
    running = _running(home)
    if running is None:
        typer.echo(f"Nothing runs in {home.path}.")
        return 0
    os.kill(running.pid, signal.SIGTERM)
    until = time.monotonic() + _PATIENCE
    while home.is_locked:
        if time.monotonic() > until:
            message = f"Process {running.pid} has not ended within {_PATIENCE:.0f} s; {home.logs} may say why."
            raise StillRunning(message)
        time.sleep(0.05)
    typer.echo("Stopped.")
    return 0


def status() -> int:
    """Print what runs. Returns 0 when everything works, 1 when something does not, 3 when nothing runs."""
    home = Home(settings_check.pipe_settings().home)
    running = _running(home)
    if running is None:
        typer.echo(f"Nothing runs in {home.path}. Start it with `sentinel up`.")
        return _NOT_RUNNING
    answer = asyncio.run(readiness.ask(_at(running), readiness.FULL))
    is_ready = answer is not None and answer[0] == _OK
    typer.echo(f"{running.url}   {'ready' if is_ready else 'not ready'}   data folder {home.path}\n")
    typer.echo(f"{'process':<13}{'pid':>8}{'port':>8}{'restarts':>10}")
    typer.echo(f"{'launcher':<13}{running.pid:>8}{'':>8}{'':>10}")
    for child in running.children:
        state = "" if start_time(child.pid) == child.started else "   ended"
        typer.echo(f"{child.name:<13}{child.pid:>8}{running.ports.get(child.name, ''):>8}{child.restarts:>10}{state}")
    if is_ready:
        return 0
    said = answer[1].decode("utf-8", "replace") if answer else "The API does not answer."
    typer.echo(f"\n{said}")
    return _NOT_READY


def _running(home: Home) -> Running | None:
    running = home.running()
    return running if running is not None and running.is_alive else None


def _at(running: Running) -> LauncherSettings:
    # The running stack's address, whatever this shell's settings are now.
    return LauncherSettings(host=running.host, port=running.ports["api"])
