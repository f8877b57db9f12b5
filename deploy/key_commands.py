"""``sentinel keys``: makes, lists and revokes API keys in the database in use."""

import typer

from deploy import control
from deploy.errors import DeployError
from pipeline.storage import keys, make_engine, transaction

_NO_SUCH_KEY = 1


class WrongScope(DeployError):
    """The scopes are ingest, read and admin."""

    exit_code = 2


def create(name: str, scopes: list[str]) -> None:
    """Make a key and print it.

    Raises:
        WrongScope: a scope does not exist.
    """
    with transaction(make_engine(control.database_url())) as connection:
        try:
            key = keys.create(connection, name=name, scopes=scopes)
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
    for key in found:
        state = "revoked" if key.revoked_at else f"expires {key.expires_at:%Y-%m-%d}" if key.expires_at else "in use"
        typer.echo(
            f"{key.key_id}  {key.created_at:%Y-%m-%d %H:%M}  {','.join(key.scopes):<18}  {state:<18}  {key.name}"
        )
    if not found:
        typer.echo("No key exists: whoever reaches the address may post and read.", err=True)


def revoke(key_id: str) -> int:
    """Take a key out of use. Returns the exit status."""
    with transaction(make_engine(control.database_url())) as connection:
        done = keys.revoke(connection, key_id)
    typer.echo("Revoked." if done else f"No key in use has the id {key_id}.", err=not done)
    return 0 if done else _NO_SUCH_KEY
