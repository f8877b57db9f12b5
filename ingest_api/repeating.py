"""``Idempotency-Key``: a request sent again because its answer was lost gets the same answer, and is taken once.

The receipt is kept by the script that journals the events, or it is not and they are not; there is no state between
that a crash could leave behind.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hmac import compare_digest

import msgspec
from starlette.requests import Request

from pipeline.http import Answer, Problem

KEPT_HOURS = 24
MOST_CHARACTERS = 255
_KEY = re.compile(rf"[!-~]{{1,{MOST_CHARACTERS}}}")
_DIGEST = 16
_SMALL = 512


class _Kept(msgspec.Struct):
    """What the headers of an answer say of its receipt."""

    status_url: str
    rejected: int


_kept = msgspec.json.Decoder(_Kept)


class Keys:
    """The idempotency keys of the requests that are being answered by this process."""

    def __init__(self) -> None:
        self._running: set[str] = set()

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Answer a request of this key, alone.

        Raises:
            Problem: 409, while another one is being answered.
        """
        if name in self._running:
            raise Problem(
                409, "The same request is being answered",
                "Another request with this Idempotency-Key is in progress; send it again after Retry-After.",
                headers={"Retry-After": "1"},
            )  # fmt: skip
        self._running.add(name)
        try:
            yield
        finally:
            self._running.discard(name)


def name_of(request: Request) -> str | None:
    """Return the name under which the receipt is kept, None without a key. Each speaker has keys of its own.

    Raises:
        Problem: 400, where the header is no key.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0].strip(" \t")
    if len(given) > 1 or _KEY.fullmatch(key) is None:
        detail = f"One Idempotency-Key is sent, of 1 to {MOST_CHARACTERS} visible ASCII characters, such as a UUID."
        raise Problem(400, "Not an Idempotency-Key", detail)
    return hashlib.blake2b(f"{request.scope['speaker']}\0{key}".encode(), digest_size=16).hexdigest()


def kept(body: bytes, receipt: bytes) -> bytes:
    """Return what is kept of a request: the hash of its body, and its receipt."""
    return _digest(body) + (receipt if len(receipt) <= _SMALL else zlib.compress(receipt, 1))


def answer_again(found: bytes, body: bytes) -> Answer:
    """Return the first answer again.

    Raises:
        Problem: 422, where the key was used for another body.
    """
    digest, receipt = found[:_DIGEST], found[_DIGEST:]
    if not compare_digest(digest, _digest(body)):
        raise Problem(
            422, "The Idempotency-Key was used for another body",
            "A key names one request; use a new one for each, and the same only to send it again.",
        )  # fmt: skip
    if not receipt.startswith(b"{"):
        receipt = zlib.decompress(receipt)
    about = _kept.decode(receipt)
    return accepted(receipt, about.status_url, about.rejected, (b"idempotency-replayed", b"true"))


def accepted(receipt: bytes, status_url: str, rejected: int, *more: tuple[bytes, bytes]) -> Answer:
    """Return the answer to a request that was accepted."""
    headers = [(b"location", status_url.encode()), *more]
    if rejected:
        headers.append((b"sentinel-rejected", b"%d" % rejected))
    return Answer(202, receipt, headers)


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()
