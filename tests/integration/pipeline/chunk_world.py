"""The chunk protocol as a world to be explored: accept, doorbell, lease, settle, sweep, dead letter, re-run."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from redis import Redis
from sqlalchemy import Engine

from detection import Event
from pipeline.chunk import AcceptedEvent, Chunk, encode
from pipeline.errors import JournalUnavailable
from pipeline.ids import EventId
from pipeline.journal import Lane, NewChunk
from pipeline.queue import doorbell, make_celery
from pipeline.rerun import rerun
from pipeline.settings import PipeSettings
from tests.integration.pipeline import bench
from tests.integration.pipeline.stepping import step
from tests.integration.pipeline.world import POISON, Plot, Wording, World

Flush = list[NewChunk]
_BELL = doorbell(make_celery(PipeSettings(), "test"))


@dataclass(frozen=True)
class Story:
    """What happens in a world when nothing disturbs it.

    Attributes:
        flushes: the events of each chunk of each flush.
        poison: what an event whose prompt is ``POISON`` does to who scans it: "raises" or "kills".
        attempts: how many failed attempts exhaust a chunk.
        reruns: how often somebody asks for each dead letter to be run again, now that the rule is mended.
    """

    flushes: Sequence[Sequence[Sequence[Event]]]
    poison: str = ""
    attempts: int = 2
    reruns: int = 0


class ChunkWorld(World):
    """An installation to which events are posted."""

    def __init__(self, redis: Redis, engine: Engine, url: str, story: Story, wording: Wording | None = None) -> None:
        """Use real servers."""
        self.story, self.attempts = story, story.attempts
        chunks = enumerate((events for flush in story.flushes for events in flush), 1)
        made = iter([(UUID(int=number).hex, events) for number, events in chunks])
        self._flushes = [[_chunk(*next(made)) for _ in flush] for flush in story.flushes]
        self._posted = {
            f"{chunk.chunk_id}.{index}": event
            for flush, several in zip(self._flushes, story.flushes, strict=True)
            for chunk, events in zip(flush, several, strict=True)
            for index, event in enumerate(events)
        }
        super().__init__(redis, engine, url, wording)

    def planned(self) -> Plot:
        """Post everything."""
        return [("A", lambda f=flush, n=number: self._post(f, n)) for number, flush in enumerate(self._flushes, 1)]  # type: ignore[misc]

    def broken(self) -> list[str]:
        """Every event that was acknowledged is judged or dead, once, and only poison is dead."""
        verdicts, letters = self.stored("verdict"), self.stored("dead")
        final = verdicts + letters
        found = [f"{event} was acknowledged, and is lost" for event in sorted(self.acknowledged) if not final[event]]
        found += [f"{event} has {count} final records" for event, count in final.items() if count > 1]
        found += [f"{event} was never posted" for event in final if event not in self._posted]
        if self.attributable < self.attempts:
            dead = [event for event in letters if event in self._posted and self._posted[event].prompt != POISON]
            found += [f"{event} is dead without any fault" for event in dead]
        if self.mended:
            found += [f"{event} was run again, and is still dead" for event in letters]
        return found

    def is_deadly(self, event: Event) -> str:
        """Poison is, until the rule is mended."""
        return self.story.poison if event.prompt == POISON and not self.mended else ""

    def afterwards(self) -> Plot:
        """Run what is dead again, each as often as the story says."""
        if self.mended or not self.story.reruns:
            return []
        self.mended, again = True, self.wording.rerun or rerun
        letters = [EventId.parse(event) for event in self.stored("dead") for _ in range(self.story.reruns)]
        return [
            ("A", lambda e=letter: again(e, journal=self.journal, engine=self.engines["A"], celery=self))  # type: ignore[misc]
            for letter in letters
        ]

    def _post(self, chunks: Flush, number: int) -> None:
        if (self.wording.accept or accept)(self, chunks, number):
            step("answer 202")
            self.acknowledged |= {f"{chunk.chunk_id}.{index}" for chunk in chunks for index in range(chunk.events)}


def accept(world: ChunkWorld, chunks: Flush, number: int) -> bool:
    """Journal as the API does: a second time when the outcome is unknown. Returns whether the answer is 202."""
    for _ in range(2):
        with suppress(JournalUnavailable):
            return bool(bench.accept(world.journal, "api", number, chunks, _BELL))
    return False


def _chunk(chunk_id: str, events: Sequence[Event]) -> NewChunk:
    body = encode(Chunk([AcceptedEvent(1, event) for event in events]))
    return NewChunk(chunk_id, Lane.REALTIME, len(events), body)
