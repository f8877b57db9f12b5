"""The command line's own calls of the HTTP interface."""

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx2
import typer

from deploy.errors import DeployError
from deploy.settings import LauncherSettings

OK, FAILED, USAGE, PARTLY_REJECTED = 0, 1, 2, 3
_BUSY = (429, 503)
_PATIENCE = 60.0
_LONGEST_WAIT = 30.0


class CallFailed(DeployError):
    """The installation did not take it."""


class Unusable(DeployError):
    """What was given cannot be sent."""

    exit_code = USAGE


def connect(url: str | None) -> httpx2.Client:
    """Return a client of an installation, with the key of ``SENTINEL_API_KEY`` where it is set."""
    key = os.environ.get("SENTINEL_API_KEY")
    return httpx2.Client(
        base_url=url or LauncherSettings().url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx2.Timeout(60, connect=5),
        trust_env=False,
    )


def insist(call: Callable[[], httpx2.Response]) -> httpx2.Response:
    """Make a call, again and again while the installation is away or asks for patience.

    A call whose answer was lost is not repeated: it may have been taken, and would be doubled.

    Raises:
        CallFailed: it was not answered in time, or its answer was lost.
    """
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            response = call()
        except httpx2.ConnectError as error:
            if time.monotonic() > until:
                message = f"No connection: {error}"
                raise CallFailed(message) from error
            wait = 1.0
        except httpx2.HTTPError as error:
            message = f"The connection was lost, so it is not known whether it was taken: {error!r}"
            raise CallFailed(message) from error
        else:
            if response.status_code not in _BUSY or time.monotonic() > until:
                return response
            wait = _retry_after(response)
            typer.echo(f"Busy ({response.status_code}), trying again in {wait:.0f} s", err=True)
        time.sleep(wait)


def explain(response: httpx2.Response) -> str:
    """Return a problem's own words."""
    try:
        problem = response.json()
        return f"{response.status_code} {problem['title']}: {problem.get('detail', '')}"
    except (ValueError, KeyError, TypeError):
        return f"{response.status_code} {response.text[:500]}"


def show_errors(errors: Iterable[dict[str, Any]], *, first: int = 0) -> None:
    """Print rejected records; ``first`` is the number of the first record that the request held."""
    for error in errors:
        where = f"record {first + int(error['index']) + 1}"
        typer.echo(f"{where}: {error.get('pointer') or '/'} {error.get('code')}: {error.get('detail')}", err=True)


def _retry_after(response: httpx2.Response) -> float:
    try:
        return min(max(float(response.headers["Retry-After"]), 0.1), _LONGEST_WAIT)
    except (KeyError, ValueError):
        return 1.0
