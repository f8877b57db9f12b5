"""``sentinel keys``: makes, lists and revokes API keys in the database in use."""

from datetime import UTC, datetime, timedelta

import typer

from deploy import control
from deploy.errors import DeployError
from pipeline.storage import keys, make_engine, transaction

_NO_SUCH_KEY = 1
_LAST = (
    "That was the last key in use. On a loopback address, or with SENTINEL_TRUST_NETWORK=1, requests may be answered "
    "without a key; elsewhere nobody is let in until `sentinel keys create NAME` has made a new one."
)


class WrongScope(DeployError):
    """The scopes are ingest, read and admin."""

    exit_code = 2


class NamelessKey(DeployError):
    """A key needs a name, so that it is known later whose it is: `sentinel keys create NAME`."""

    exit_code = 2


def create(name: str, scopes: list[str], days: int | None = None) -> None:
    """Make a key, which works for so many days or until it is revoked, and print it.

    Raises:
        NamelessKey: the name is empty.
        WrongScope: a scope does not exist.
    """
    if not name.strip():
        raise NamelessKey
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with transaction(make_engine(control.database_url())) as connection:
        try:
            key = keys.create(connection, name=name.strip(), scopes=scopes, expires_at=expires_at)
        except keys.UnknownScope as error:
            raise WrongScope from error
    typer.echo(key)
    typer.echo(
        "Keep it: it is not shown again. From now on every request needs a key, as `Authorization: Bearer KEY`.",
        err=True,
    )


def show() -> None:
    """Print every key, in use or not."""
    with transaction(make_engine(control.database_url())) as connection:
        found = keys.listing(connection)
    now = datetime.now(UTC)
    for key in found:
        state = "in use" if key.is_active(now) else "revoked" if key.revoked_at else "expired"
        if key.is_active(now) and key.expires_at:
            state = f"expires {key.expires_at:%Y-%m-%d}"
        typer.echo(
            f"{key.key_id}  {key.created_at:%Y-%m-%d %H:%M}  {','.join(key.scopes):<18}  {state:<18}  {key.name}"
        )
    if not found:
        typer.echo("No key exists: whoever reaches the address may post and read.", err=True)


def revoke(key_id: str) -> int:
    """Take a key out of use, and warn when it was the last one. Returns the exit status."""
    with transaction(make_engine(control.database_url())) as connection:
        done = keys.revoke(connection, key_id)
        is_last = done and all(key.revoked_at for key in keys.listing(connection))
    typer.echo("Revoked." if done else f"No key in use has the id {key_id}.", err=not done)
    if is_last:
        typer.echo(_LAST, err=True)
    return 0 if done else _NO_SUCH_KEY
