"""API keys: 256 random bits, stored as a digest, shown once."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, insert, select, update

from pipeline.storage._operation import api_keys as table

SCOPES = ("ingest", "read", "admin")
_PREFIX = "snt_"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: never the key itself."""

    key_id: str
    name: str
    digest: bytes
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_active(self, now: datetime) -> bool:
        """Say whether the key opens anything at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)

    def allows(self, scope: str) -> bool:
        """Say whether the key carries a scope; ``admin`` carries every one."""
        return scope in self.scopes or "admin" in self.scopes


class UnknownScope(ValueError):
    """The scope is none of ingest, read and admin."""


def create(connection: Connection, *, name: str, scopes: Collection[str], expires_at: datetime | None = None) -> str:
    """Make a key. Returns it; it is stored nowhere and cannot be shown again.

    Raises:
        UnknownScope: a scope does not exist, or none was given.
    """
    if not scopes or set(scopes) - set(SCOPES):
        raise UnknownScope
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    key = f"{_PREFIX}{key_id}_{secret}"
    connection.execute(
        insert(table).values(
            key_id=key_id, name=name, digest=_digest(key), scopes=sorted(scopes), created_at=datetime.now(UTC),
            expires_at=expires_at,
        )
    )  # fmt: skip
    return key


def revoke(connection: Connection, key_id: str) -> bool:
    """Take a key out of use. Returns whether it was in use."""
    statement = update(table).where(table.c.key_id == key_id, table.c.revoked_at.is_(None))
    return connection.execute(statement.values(revoked_at=datetime.now(UTC))).rowcount > 0


def listing(connection: Connection) -> list[ApiKey]:
    """Return every key there ever was, oldest first."""
    rows = connection.execute(select(table).order_by(table.c.created_at)).mappings()
    return [ApiKey(**{**row, "digest": bytes(row["digest"]), "scopes": tuple(row["scopes"])}) for row in rows]


def any_active(connection: Connection) -> bool:
    """Say whether any key is in use, so that requests need one."""
    usable = (table.c.revoked_at.is_(None)) & (table.c.expires_at.is_(None) | (table.c.expires_at > func.now()))
    return connection.execute(select(func.count()).where(usable)).scalar_one() > 0


def matching(keys: Sequence[ApiKey], presented: str, now: datetime) -> ApiKey | None:
    """Return the active key that was presented, comparing in constant time; None when there is none."""
    digest = _digest(presented)
    found = [key for key in keys if hmac.compare_digest(key.digest, digest)]
    return found[0] if found and found[0].is_active(now) else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
