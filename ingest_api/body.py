"""Reading a request's body within its limits, whatever its headers claim."""

from email.message import Message

from starlette.requests import ClientDisconnect, Request

from pipeline.http import Problem


# Many clients read the answer only when they have sent everything: so much of a body that is too large is read, and
# thrown away, before it is answered.
_PATIENCE = 4


def require_json(request: Request) -> None:
    """Let only ``application/json`` in UTF-8, without a content coding, pass.

    Raises:
        Problem: 415, with what to send instead.
    """
    given = Message()
    given["content-type"] = request.headers.get("content-type", "")
    charset = given.get_content_charset("utf-8")
    if not request.headers.get("content-type") or given.get_content_type() != "application/json":
        raise Problem(415, "Unsupported media type", "Send events as 'Content-Type: application/json'.")
    if charset not in {"utf-8", "us-ascii"}:
        raise Problem(415, "Unsupported media type", f"JSON travels as UTF-8, not as {charset}.")
    refuse_coding(request)


def refuse_coding(request: Request) -> None:
    """Refuse compressed bodies.

    Raises:
        Problem: 415.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        raise Problem(415, "Unsupported content coding", f"Send the body without Content-Encoding: {coding[:40]}.",
                      headers={"Accept-Encoding": "identity"})  # fmt: skip


def declared_length(request: Request) -> int:
    """Return the length the client announced, 0 where it announced none."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


async def read(request: Request, *, most: int, limit: str) -> bytes:
    """Read the whole body.

    Raises:
        Problem: 413, naming ``limit``, when more than ``most`` bytes are announced or sent; 400 when the connection
            ends before the body does.
    """
    fits, parts, total = declared_length(request) <= most, [], 0
    try:
        async for part in request.stream():
            total += len(part)
            fits = fits and total <= most
            if fits:
                parts.append(part)
            elif total > most * _PATIENCE:
                break
    except ClientDisconnect:
        raise Problem(400, "The body was cut off", "The connection ended before the body did.") from None
    if not fits:
        raise too_large(most, limit)
    return b"".join(parts)


def too_large(most: int, limit: str) -> Problem:
    """Return the answer to a body over a limit."""
    cure = " Send fewer events at a time, or upload a file to /api/uploads." if limit == "max_body_bytes" else ""
    return Problem(413, "Too large", f"The body is larger than the {most:,} bytes of {limit}.{cure}",
                   limit=limit, maximum=most, headers={"Connection": "close"})  # fmt: skip
