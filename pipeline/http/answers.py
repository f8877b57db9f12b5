"""An answer whose parts are bytes already, for routes that are served express."""

from collections.abc import Iterable

from starlette.responses import Response


class Answer(Response):
    """JSON that was encoded before. ``headers`` are further ones, with names in lower case."""

    def __init__(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.status_code, self.body, self.background = status, body, None
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *headers,
        ]
