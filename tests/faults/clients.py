"""Clients that go on through every fault, each with a list of its own of what was acknowledged."""

import http.client
import json
import os
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.acceptance.calling import EVENT, JSON, call, upload

_PAUSE = 0.02
_MOST_IN_ARRAY = 6
_FLAGGED_SHARE = 0.2
_AGAIN_SHARE = 0.03
_REMEMBERED = 50


@dataclass
class Client(threading.Thread):
    """A thread that sends events, each with a token of its own in ``session_id``.

    Attributes:
        sent: the token of every event that was ever sent, and whether a rule flags it.
        acknowledged: the token of every event that was answered with 202, and its event id where one was given.
        statuses: how often each status was answered; 0 where the connection broke.
        path: where the acknowledgments are kept on disk, each before the next request is made.
    """

    port: int
    seed: int
    path: Path
    sent: dict[str, bool] = field(default_factory=dict)
    acknowledged: dict[str, str | None] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Prepare the thread."""
        super().__init__(daemon=True)
        self.random = Random(self.seed)  # noqa: S311 - a run has to be repeatable

    def __hash__(self) -> int:
        return id(self)

    @property
    def refused(self) -> int:
        """How many requests were not answered with 202."""
        return self.statuses.total() - self.statuses[http.client.ACCEPTED]

    def is_acknowledged_more(self, *, than: int) -> bool:
        """Say whether more events were acknowledged than so many."""
        return len(self.acknowledged) > than

    def run(self) -> None:
        """Send until told to end."""
        with self.path.open("w", encoding="utf-8") as file:
            while not self._ended.is_set():
                for token, event_id in self._send().items():
                    self.acknowledged[token] = event_id
                    file.write(f"{token} {event_id}\n")
                file.flush()
                os.fsync(file.fileno())

    def end(self) -> None:
        """End, once the request under way is answered."""
        self._ended.set()
        self.join(60)
        assert not self.is_alive()
        kept = [line.split()[0] for line in self.path.read_text(encoding="utf-8").splitlines()]
        assert kept == list(self.acknowledged)

    def pause(self, seconds: float) -> None:
        """Wait a while, unless told to end."""
        self._ended.wait(seconds)

    def _send(self) -> dict[str, str | None]:
        raise NotImplementedError

    def _event(self) -> dict[str, Any]:
        token, flagged = f"{type(self).__name__}-{len(self.sent)}", self.random.random() < self._flagged_share()
        self.sent[token] = flagged
        return {**EVENT, "session_id": token, "tool": "os_shell" if flagged else "web_search"}

    def _flagged_share(self) -> float:
        return _FLAGGED_SHARE


class Poster(Client):
    """Posts single events and small arrays, about fifty requests a second at most, a few of them a second time.

    Every event bears an id of its own, so that one that is sent again, whatever became of it before, is judged once.
    """

    def __init__(self, port: int, seed: int, path: Path) -> None:
        super().__init__(port, seed, path)
        self._recent: deque[list[dict[str, Any]]] = deque(maxlen=_REMEMBERED)

    def __hash__(self) -> int:
        return id(self)

    def _send(self) -> dict[str, str | None]:
        again = bool(self._recent) and self.random.random() < _AGAIN_SHARE
        events = self.random.choice(self._recent) if again else self._new()
        tokens = [event["session_id"] for event in events]
        if again:  # under which of its ids it is judged is not known any more
            self.acknowledged |= {token: None for token in tokens if token in self.acknowledged}
        body = json.dumps(events if len(events) > 1 else events[0]).encode()
        answer = call(self.port, "POST", "/api/events", body, JSON, timeout=5)
        self.statuses[answer.status] += 1
        self.pause(_PAUSE)
        if answer.status != http.client.ACCEPTED:
            # What became of it is not known: it may be judged, and may be lost.
            return {}
        if again:
            return {token: None for token in tokens if token not in self.acknowledged}
        return dict(zip(tokens, answer.json["event_ids"], strict=True))

    def _new(self) -> list[dict[str, Any]]:
        many = self.random.random() < 1 / 4
        events = [self._event() for _ in range(self.random.randint(1, _MOST_IN_ARRAY) if many else 1)]
        self._recent.append([event | {"id": event["session_id"]} for event in events])
        return self._recent[-1]


@dataclass(frozen=True)
class UploadedFile:
    """A file that was answered with 202."""

    status_url: str
    events: int
    flagged: int


class Uploader(Client):
    """Uploads files, a large one first, then small ones for as long as it runs: a few of them unfinished at any time.

    Without that bound what waits would grow for as long as a busy machine judges less than it accepts, and how soon all
    is judged after the last kill would say nothing of the product.
    """

    large, small, unfinished = 20_000, 2_000, 3

    def __init__(self, port: int, seed: int, path: Path) -> None:
        super().__init__(port, seed, path)
        self.files: list[UploadedFile] = []

    def __hash__(self) -> int:
        return id(self)

    def _flagged_share(self) -> float:
        return _FLAGGED_SHARE / 20

    def _send(self) -> dict[str, str | None]:
        if not self._may_go_on():
            self.pause(0.2)
            return {}
        count = self.small if self.files else self.large
        events = [self._event() for _ in range(count)]
        answer = upload(self.port, json.dumps(events).encode())
        self.statuses[answer.status] += 1
        self.pause(1.0)
        if answer.status != http.client.ACCEPTED:
            return {}
        tokens = [event["session_id"] for event in events]
        self.files.append(UploadedFile(answer.json["status_url"], count, sum(self.sent[token] for token in tokens)))
        return dict.fromkeys(tokens)

    def _may_go_on(self) -> bool:
        if len(self.files) < self.unfinished:
            return True
        answer = call(self.port, "GET", self.files[-self.unfinished].status_url, timeout=5)
        return answer.status == http.client.OK and answer.json["state"] == "done"
