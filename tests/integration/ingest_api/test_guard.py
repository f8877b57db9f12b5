"""Who may speak: without keys only this machine and no foreign web page, with keys only their holders."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine
from starlette.testclient import TestClient

from deploy.asgi import create_app as one_origin
from pipeline.storage import keys, transaction
from tests import servers
from tests.integration.ingest_api.events import JSON, eventually, post, problem, raw, upload

Journaled = Callable[[], dict[str, dict[str, Any]]]
OpenDoor = Callable[..., TestClient]


def _key(engine: Engine, *scopes: str, expires_at: datetime | None = None) -> str:
    with transaction(engine) as connection:
        return keys.create(connection, name="test", scopes=scopes, expires_at=expires_at)


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "127.9.9.9", "localhost:8000", "LOCALHOST", "[::1]:8000"]
)
def test_loopback_is_open_without_keys(door: TestClient, host: str) -> None:
    """
    The call of the upload page works on a fresh installation, under every name of this machine.
    """
    assert post(door, raw(), Host=host).status_code == 202


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5",
        "0.0.0.0:8000", "[::2]", "[", "127.0.0.1@evil.example", "",
    ],
)  # fmt: skip
def test_foreign_hosts_are_refused_without_keys(door: TestClient, journaled: Journaled, host: str) -> None:
    """
    A name that leads here by someone else's choice is not served, neither for reading nor for writing.
    """
    found = problem(post(door, raw(), Host=host), 403)

    assert "sentinel keys create" in found["detail"]
    assert door.get("/api/limits", headers={"Host": host}).status_code == 403
    assert journaled() == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9000"},
        {"Origin": "http://localhost:8000"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_other_web_pages_may_not_write(door: TestClient, journaled: Journaled, headers: dict[str, str]) -> None:
    """
    A page of another origin can neither post nor upload, even in forms that a browser sends without asking.
    """
    problem(post(door, raw(), **headers), 403)
    problem(upload(door, raw(), **headers), 403)

    assert journaled() == {}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "http://127.0.0.1:8000"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}],
)
def test_our_own_pages_may_write(door: TestClient, headers: dict[str, str]) -> None:
    """
    The upload page's own form, and programs, are let in.
    """
    assert post(door, raw(), **headers).status_code == 202


def test_links_from_elsewhere_may_be_followed(door: TestClient) -> None:
    """
    Reading by following a link from another page is not writing.
    """
    assert door.get("/api/limits", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_the_public_url_names_a_trusted_host(open_door: OpenDoor) -> None:
    """
    The host of the public URL is served without keys, and no other.
    """
    door = open_door(public_url="https://sentinel.example.org/")

    assert post(door, raw(), Host="Sentinel.Example.org").status_code == 202
    problem(post(door, raw(), Host="other.example.org"), 403)


def test_a_trusted_network_is_served_by_address(open_door: OpenDoor) -> None:
    """
    Where the network keeps strangers out, addresses are served, and foreign names still are not.
    """
    door = open_door(trust_network="1")

    assert post(door, raw(), Host="192.168.1.5:8000").status_code == 202
    problem(post(door, raw(), Host="evil.example"), 403)


def _statuses(door: TestClient, headers: dict[str, str]) -> tuple[int, int, int, int]:
    """Return what sending, uploading, following and reading are answered with."""
    return (
        post(door, raw(), **headers).status_code,
        upload(door, raw(), **headers).status_code,
        door.get("/api/limits", headers=headers).status_code,
        door.get("/api/verdicts", headers=headers).status_code,
    )


def test_each_scope_opens_its_own_door(open_door: OpenDoor, engine: Engine) -> None:
    """
    A key for sending follows what it sent and reads nothing else, one for reading sends nothing, and one for
    administration does all.
    """
    ingest, read, admin = (_bearer(_key(engine, scope)) for scope in ("ingest", "read", "admin"))
    door = open_door(one_origin)

    assert _statuses(door, ingest) == (202, 202, 200, 403)
    assert _statuses(door, read) == (403, 403, 200, 200)
    assert _statuses(door, admin) == (202, 202, 200, 200)
    assert _statuses(door, {}) == (401, 401, 401, 401)


def test_a_refusal_says_which_scope_is_needed(open_door: OpenDoor, engine: Engine) -> None:
    """
    A key that may not do something is told what it would need.
    """
    headers = _bearer(_key(engine, "read"))

    assert "'ingest'" in problem(post(open_door(), raw(), **headers), 403)["detail"]


def test_every_way_of_presenting_a_key_works(open_door: OpenDoor, engine: Engine) -> None:
    """
    A key is a bearer token, a password of any user, or a header of its own; foreign hosts are served with it.
    """
    key = _key(engine, "read")
    door = open_door()

    for headers in (_bearer(key), {"Authorization": f"bearer  {key}"}, {"X-Api-Key": key}):
        assert door.get("/api/limits", headers={**headers, "Host": "sentinel.example"}).status_code == 200
    assert door.get("/api/limits", auth=("anyone", key)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer snt_00000000_wrong"},
        {"Authorization": "Bearer sn\u00fct"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Digest x"},
        {"X-Api-Key": ""},
        {"X-Api-Key": "x" * 5000},
    ],
)
def test_without_a_valid_key_nothing_is_taken(
    open_door: OpenDoor, engine: Engine, journaled: Journaled, headers: dict[str, str]
) -> None:
    """
    Nothing, nonsense and a wrong key are answered with 401 and how to do it.
    """
    _key(engine, "ingest")
    encoded = {name.encode(): value.encode() for name, value in {**JSON, **headers}.items()}
    answer = open_door().post("/api/events", content=raw(), headers=encoded)

    problem(answer, 401)
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert journaled() == {}


def test_expired_and_revoked_keys_are_no_keys(open_door: OpenDoor, engine: Engine) -> None:
    """
    A key stops working when it expires or is revoked, while another one still works.
    """
    now = datetime.now(UTC)
    valid = _bearer(_key(engine, "ingest", expires_at=now + timedelta(hours=1)))
    expired = _bearer(_key(engine, "ingest", expires_at=now - timedelta(seconds=1)))
    revoked_key = _key(engine, "ingest")
    door = open_door()

    assert post(door, raw(), **_bearer(revoked_key)).status_code == 202
    with transaction(engine) as connection:
        assert keys.revoke(connection, revoked_key.split("_")[1])
    eventually(lambda: post(door, raw(), **_bearer(revoked_key)).status_code == 401)
    problem(post(door, raw(), **expired), 401)
    assert post(door, raw(), **valid).status_code == 202


def test_a_key_that_expires_does_not_open_the_door(open_door: OpenDoor, engine: Engine) -> None:
    """
    What somebody shut stays shut when time goes by; only who revokes the last key opens it.
    """
    expired = _key(engine, "ingest", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    door = open_door()
    problem(post(door, raw()), 401)

    with transaction(engine) as connection:
        keys.revoke(connection, expired.split("_")[1])
    eventually(lambda: post(door, raw()).status_code == 202)


def test_the_first_key_closes_the_door(open_door: OpenDoor, engine: Engine) -> None:
    """
    An open installation asks for keys as soon as there is one, without being started again.
    """
    door = open_door()
    assert post(door, raw()).status_code == 202

    _key(engine, "ingest")

    eventually(lambda: post(door, raw()).status_code == 401)


def test_a_key_does_not_let_other_web_pages_write(open_door: OpenDoor, engine: Engine) -> None:
    """
    A browser that remembers a key as a password cannot be used by another page.
    """
    headers = {**_bearer(_key(engine, "admin")), "Origin": "http://evil.example"}

    problem(post(open_door(), raw(), **headers), 403)


def test_keys_are_known_while_postgresql_is_away(
    open_door: OpenDoor, engine: Engine, postgres_server: servers.Server, redis_client: redis.Redis
) -> None:
    """
    Neither an outage nor a start during one opens the door or closes it to those who have a key.
    """
    key = _bearer(_key(engine, "ingest"))
    before = open_door()
    assert post(before, raw(), **key).status_code == 202
    postgres_server.stop()
    try:
        for door in (before, open_door()):
            assert post(door, raw(), **key).status_code == 202
            problem(post(door, raw()), 401)
        redis_client.delete("sentinel:keys")
        unknown = post(open_door(), raw(), **key)
        assert problem(unknown, 503)["reason"] == "keys_unknown"
        assert unknown.headers["retry-after"]
    finally:
        postgres_server.restart()


def test_an_origin_that_is_no_address_is_a_foreign_one(door: TestClient) -> None:
    """
    Nonsense in a header is refused in words, never a fault of the server.
    """
    for origin in ("http://[", "null", "file://", "http://127.0.0.1:1@evil"):
        assert problem(post(door, raw(), Origin=origin), 403)["title"] == "The request comes from another web page"


def test_beyond_loopback_the_door_stays_closed_when_the_last_key_goes(
    open_door: OpenDoor, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Where strangers can reach us, revoking the last key opens nothing, whatever host a request names.
    """
    monkeypatch.setenv("SENTINEL_HOST", "0.0.0.0")
    key = _key(engine, "ingest")
    door = open_door()
    assert post(door, raw(), **_bearer(key)).status_code == 202
    with transaction(engine) as connection:
        assert keys.revoke(connection, key.split("_")[1])

    eventually(lambda: post(door, raw(), **_bearer(key)).status_code == 401)
    problem(post(door, raw(), Host="localhost"), 401)


def test_a_post_of_mostly_refused_records_travels_in_bulk(door: TestClient, redis_client: redis.Redis) -> None:
    """
    Many refused records take time to write down, and live events must not wait for it.
    """
    answer = post(door, b"[" + raw() + b", 1" * 501 + b"]")

    assert answer.status_code == 202
    assert redis_client.zcard("sentinel:open:bulk") == 1
    assert redis_client.zcard("sentinel:open:realtime") == 0
