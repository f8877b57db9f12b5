"""May you speak? Keys where there are any; otherwise loopback, with ``Host`` and ``Origin`` checked.

Without keys anybody who reaches the port may post. A web page elsewhere can make a browser on this machine reach it, so
while the door is open a request must name us as its host, and must not come from another origin.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

import msgspec
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from pipeline.errors import StorageUnavailable
from pipeline.every import Every
from pipeline.http.problems import Problem
from pipeline.storage import keys, transaction

ANYONE = "anyone"
_FRESH_SECONDS = 1.0
_HOSTS_REMEMBERED = 64
_COPY = "sentinel:keys"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[keys.ApiKey])
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_DOORS = frozenset({"/api/events", "/api/uploads"})
_FOLLOWED = ("/api/batches/", "/api/uploads/", "/api/receipts/", "/api/limits")
_OPEN_PATHS = frozenset({"/livez", "/readyz"})


class KeyRing:
    """The API keys, read from PostgreSQL and remembered while it is away: here, and in Redis for the next start."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        """Read the keys that ``engine`` holds; ``redis`` keeps the copy."""
        self._engine, self._redis = engine, redis
        self._keys: Sequence[keys.ApiKey] | None = None
        self._in_redis: Sequence[keys.ApiKey] | None = None
        self._rounds = Every(_FRESH_SECONDS, self.refresh, name="keys")

    def start(self) -> None:
        """Read the keys once, and again every second from now on."""
        self.refresh()
        self._rounds.start()

    def stop(self) -> None:
        """Stop reading."""
        self._rounds.stop()

    def refresh(self) -> None:
        """Read the keys now; what is known stays when PostgreSQL is away."""
        try:
            with transaction(self._engine) as connection:
                found = keys.listing(connection)
        except StorageUnavailable:
            self._keys = self._copied() if self._keys is None else self._keys
            return
        self._keys = found
        if found != self._in_redis:
            with suppress(RedisError):
                self._redis.set(_COPY, _encoder.encode(found))
                self._in_redis = found

    def _copied(self) -> Sequence[keys.ApiKey] | None:
        try:
            found = cast("bytes | None", self._redis.get(_COPY))
        except RedisError:
            return None
        return None if found is None else _decoder.decode(found)

    def current(self) -> Sequence[keys.ApiKey]:
        """Return the keys that nobody revoked: one that has expired opens nothing, and keeps the door shut.

        Raises:
            Problem: 503, where they were never read: then it is not known who may speak.
        """
        if self._keys is None:
            raise Problem(
                503, "Starting", "The API keys have not been read yet, because PostgreSQL is away.",
                headers={"Retry-After": "2"}, reason="keys_unknown",
            )  # fmt: skip
        return [key for key in self._keys if key.revoked_at is None]


class Guard:
    """Decides for one request. ``trusted_hosts`` are further host names under which we are reached without keys."""

    def __init__(
        self, ring: KeyRing, *, trusted_hosts: Sequence[str] = (), trust_network: bool = False, may_be_open: bool = True
    ) -> None:
        """Use the keys of ``ring``; with ``trust_network`` the network itself keeps strangers out.

        Unless the door ``may_be_open``, a key is needed even when the last one was revoked.
        """
        self._ring, self._may_be_open = ring, may_be_open
        self._hosts = {host.lower() for host in trusted_hosts}
        self._trust_network = trust_network
        self._is_ours = lru_cache(maxsize=_HOSTS_REMEMBERED)(self._names_us)  # what most requests name is the same

    async def __call__(self, request: HTTPConnection) -> str:
        """Do as ``admit``, for FastAPI's dependencies."""
        return self.admit(request)

    def admit(self, request: HTTPConnection) -> str:
        """Let the request pass, and return who speaks; its scope says so too, as ``speaker``.

        Raises:
            Problem: 401 or 403, with what to do; 503 where that is not known yet.
        """
        request.scope["speaker"] = speaker = self._speaker(request)
        return speaker

    def _speaker(self, request: HTTPConnection) -> str:
        path: str = request.scope["path"]
        if path in _OPEN_PATHS or path.startswith("/static/"):
            return ANYONE
        self._same_origin(request)
        active = self._ring.current()
        if not active and self._may_be_open:
            self._our_host(request)
            return ANYONE
        presented = _presented(request)
        if presented is None:
            raise Problem(
                401, "An API key is needed",
                "Send it as 'Authorization: Bearer snt_…', or as the password of HTTP Basic.",
                headers={"WWW-Authenticate": 'Basic realm="MCP Sentinel: any user name, an API key as password"'},
            )  # fmt: skip
        key = keys.matching(active, presented, datetime.now(UTC))
        if key is None:
            raise Problem(401, "The API key is not valid", "It is unknown, revoked or expired.",
                          headers={"WWW-Authenticate": 'Basic realm="MCP Sentinel"'})  # fmt: skip
        scopes = _scopes(request)
        if not any(key.allows(scope) for scope in scopes):
            raise Problem(403, "The API key does not allow this", f"It needs the scope '{scopes[0]}'.")
        return key.key_id

    def _our_host(self, request: HTTPConnection) -> None:
        if not self._is_ours(request.headers.get("host", "")):
            raise Problem(
                403, "Unknown host name",
                "Without API keys only requests to localhost, a loopback address or the host of SENTINEL_PUBLIC_URL "
                "are answered. Make a key with 'sentinel keys create', or set SENTINEL_PUBLIC_URL.",
            )  # fmt: skip

    def _names_us(self, host: str) -> bool:
        name = _host_name(host)
        return (
            name == "localhost"
            or name in self._hosts
            or _is_loopback(name)
            or (self._trust_network and _is_address(name))
        )

    def _same_origin(self, request: HTTPConnection) -> None:
        if request.scope.get("method") not in _UNSAFE:
            return
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        foreign = origin is not None and _authority(origin) != request.headers.get("host", "").lower()
        if foreign or site not in {"same-origin", "none"}:
            raise Problem(
                403, "The request comes from another web page",
                "A page of another origin may not write here. Programs send no Origin header.",
            )  # fmt: skip


def _presented(request: HTTPConnection) -> str | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return b64decode(value, validate=True).decode().partition(":")[2]
        except (Base64Error, UnicodeDecodeError):
            return ""
    return request.headers.get("x-api-key")


def _scopes(request: HTTPConnection) -> tuple[str, ...]:
    """Return the scopes of which one is needed; whoever may send may also follow what became of it."""
    method, path = request.scope.get("method"), request.scope["path"]
    if method in _UNSAFE:
        return ("ingest",) if path in _DOORS else ("admin",)
    return ("read", "ingest") if path.startswith(_FOLLOWED) else ("read",)


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ip_address(name).is_loopback
