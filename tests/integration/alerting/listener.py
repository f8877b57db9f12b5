"""A webhook receiver for tests: a real HTTP server that keeps what it is told and answers as it is bidden."""

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_PATIENCE = 20.0


@dataclass(frozen=True)
class Post:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The CloudEvents event in the body."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(frozen=True)
class Answer:
    """What the listener answers with."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Answering = Callable[[Post], Answer]


class Listener:
    """The server. ``answer`` decides about each post; while ``gate`` is closed, posts are kept waiting."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Answering = lambda _: Answer()
        self.gate = threading.Event()
        self.gate.set()
        self.most_at_once = 0
        self._at_once = 0
        self._changed = threading.Condition()
        self._port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it listens, also while it is stopped."""
        return f"http://127.0.0.1:{self._port}/hook"

    @property
    def ids(self) -> list[str]:
        """The alert ids of the posts, in order of arrival."""
        return [post.event["id"] for post in self.posts]

    def start(self) -> None:
        """Listen: the first time on a free port, later on the same."""
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                listener._take(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            # Of many workers at once, the usual five may wait at the door; the rest would be reset.
            request_queue_size = 128

        self._server = Server(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def wait_for(self, count: int) -> None:
        """Return once so many posts have arrived."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.posts) >= count, timeout=_PATIENCE)
        assert arrived, f"{len(self.posts)} of {count} posts arrived"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        post = Post(handler.path, dict(handler.headers.items()), body)
        with self._changed:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self.posts.append(post)
            self._changed.notify_all()
        self.gate.wait(_PATIENCE)
        answer = self.answer(post)
        with self._changed:
            self._at_once -= 1
        try:
            handler.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:
            handler.close_connection = True


def silent_port() -> tuple[socket.socket, str]:
    """Return a socket that accepts connections and never answers, and its URL."""
    held = socket.create_server(("127.0.0.1", 0))
    return held, f"http://127.0.0.1:{held.getsockname()[1]}/"
