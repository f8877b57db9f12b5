"""Every crash, freeze, repeat and lost answer between any two steps of the protocol, on the real code and servers.

``SENTINEL_DISTURBANCES`` says how many of them one schedule may have: 1, unless a test says otherwise. With 2 this runs
for an hour.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from redis import Redis
from sqlalchemy import Engine

from pipeline.storage import _engine
from tests.integration.pipeline import wordings
from tests.integration.pipeline.bench import event
from tests.integration.pipeline.chunk_world import ChunkWorld, Story
from tests.integration.pipeline.exploring import Found, explore
from tests.integration.pipeline.upload_world import Cutting, UploadWorld
from tests.integration.pipeline.world import POISON, Wording, World

_BOUND = int(os.environ.get("SENTINEL_DISTURBANCES") or 1)
_OUTAGES = r": (unsent|unanswered)$"
ONE = Story([[[event(), event(tool="os_shell")]]])
ALONE = Story([[[event()]]])  # what cannot be split dies at once when it is wronged
IN_TURN = Story([[[event()]], [[event(tool="os_shell")]]])
IN_COMPANY = Story([[[event()], [event(tool="os_shell")]]])
RUN_AGAIN = Story([[[event(POISON)]]], poison="raises", reruns=2)
SPLIT = Story([[[event(POISON), event(tool="os_shell")]]], poison="raises")
SPLIT_BY_DEATHS = Story([[[event(), event(POISON)]]], poison="kills")
GUILTY_BEHIND = Story([[[event()], [event(POISON)]]], poison="kills")
GUILTY_IN_FRONT = Story([[[event(POISON)], [event()]]], poison="raises")
STORIES = {
    "one chunk": ONE,
    "two chunks, one after the other": IN_TURN,
    "two chunks in company": IN_COMPANY,
    "a poison that raises, split off": SPLIT,
    "a poison that kills, split off": SPLIT_BY_DEATHS,
    "a poison that kills, in company": GUILTY_BEHIND,
    "a poison that raises, in company": GUILTY_IN_FRONT,
    "a dead letter that is run again, twice": RUN_AGAIN,
}


@dataclass
class Explorer:
    """Makes worlds of the servers at hand, and explores them."""

    redis: Redis
    engine: Engine
    url: str
    folder: Path
    worlds: list[World] = field(default_factory=list)

    def chunks(self, story: Story, wording: Wording | None = None, *, bound: int = _BOUND, only: str = "") -> Found:
        """Explore what becomes of posts."""
        return self._explore(ChunkWorld(self.redis, self.engine, self.url, story, wording), bound, only)

    def upload(self, wording: Wording | None = None, cutting: Cutting | None = None, *, only: str = "") -> Found:
        """Explore what becomes of a file."""
        return self._explore(
            UploadWorld(self.redis, self.engine, self.url, self.folder, wording, cutting), _BOUND, only
        )

    def _explore(self, world: World, bound: int, only: str) -> Found:
        self.worlds.append(world)
        return explore(world, disturbances=bound, only=only)


@pytest.fixture
def explorer(
    redis_client: Redis, engine: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Explorer]:
    """Give an explorer, whose servers do not wait for the disk: nothing here ends them."""
    monkeypatch.setattr("pipeline.rerun.ring", lambda world, *bell: world.ring(*bell))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    redis_client.config_set("appendfsync", "no")
    made = Explorer(redis_client, engine, database_url, tmp_path)
    yield made
    for world in made.worlds:
        world.close()
    redis_client.config_set("appendfsync", "always")
    structlog.reset_defaults()


@pytest.mark.timeout(0 if _BOUND > 1 else 180)
@pytest.mark.parametrize("name", STORIES)
def test_nothing_between_any_two_steps_breaks_a_promise_to_posts(explorer: Explorer, name: str) -> None:
    """
    Whatever is killed, frozen, repeated or not answered, and wherever: one final record each, and a ledger that agrees.
    """
    found = explorer.chunks(STORIES[name])

    assert not found.faults, found
    assert found.schedules > 40


@pytest.mark.timeout(0 if _BOUND > 1 else 180)
def test_nothing_between_any_two_steps_breaks_a_promise_to_uploads(explorer: Explorer) -> None:
    """
    Each record of a file is judged or refused exactly once, and the upload ends.
    """
    found = explorer.upload()

    assert not found.faults, found
    assert found.schedules > 100


def test_outages_count_against_nobody(explorer: Explorer) -> None:
    """
    As many lost answers and refused connections as would exhaust a chunk, wherever they are, make no dead letter.
    """
    found = explorer.chunks(ALONE, bound=2, only=_OUTAGES)

    assert not found.faults, found


@dataclass(frozen=True)
class Slip:
    """Another wording, a story in which it shows, and what then is said."""

    said: str
    story: Story = ONE
    wording: Wording = field(default_factory=Wording)
    patch: wordings.Patch | None = None
    bound: int = 1
    only: str = ""


SLIPS = {
    "accept writes whatever is there": Slip(
        "does not balance", wording=Wording(wordings.ACCEPT_ALWAYS), only="unanswered"
    ),
    "accept looks at open chunks only": Slip(
        "does not balance", wording=Wording(wordings.ACCEPT_WHAT_IS_NOT_OPEN), only="late"
    ),
    "202 is answered before the journal has it": Slip(
        "is lost", wording=Wording(accept=wordings.answer_before_journal), bound=2, only="unsent|late"
    ),
    "the bell is rung before the journal has it": Slip(
        "before it is in the journal", wording=Wording(accept=wordings.ring_before_journal), bound=0
    ),
    "the journal forgets before the commit": Slip(
        "is lost", wording=Wording(detect=wordings.delete_before_commit), only="killed"
    ),
    "the sweep rings for what waits": Slip(
        "doorbells wait", wording=Wording(sweep=wordings.unguarded_sweep), only="sweep"
    ),
    "errors do not count": Slip("no rest", GUILTY_IN_FRONT, Wording(wordings.NothingCounts), bound=0),
    "outages count": Slip(
        "dead without any fault", ALONE, patch=(_engine, "is_outage", lambda _: False), bound=2, only="commit: unsent"
    ),
    "leases that nobody heard of count": Slip(
        "dead without any fault", ALONE, Wording(wordings.LostLeasesCount), bound=2, only="lease: unanswered"
    ),
    "company is blamed": Slip(
        "dead without any fault", GUILTY_BEHIND, Wording(wordings.COMPANY_IS_BLAMED), only="killed"
    ),
    "halves are stamped anew": Slip("the witness looks", SPLIT, Wording(wordings.HALVES_ARE_NEW), bound=0),
    "a split chunk counts as settled": Slip("the ledger was read", SPLIT, patch=wordings.SPLIT_IS_SETTLED, only="read"),
    "a split chunk is dropped like a settled one": Slip(
        "is lost", SPLIT, patch=wordings.SPLIT_IS_DROPPED, only="split: (killed|unsent)"
    ),
    "the ledger counts what came after": Slip(
        "ledger was read", patch=wordings.LEDGER_WITHOUT_CUT, bound=2, only="read|frozen"
    ),
    "a re-run begins from scratch": Slip(
        "is lost", RUN_AGAIN, Wording(rerun=wordings.rerun_from_scratch), only="killed"
    ),
    "a re-run is a new event": Slip(
        "does not balance", RUN_AGAIN, Wording(rerun=wordings.rerun_through_accept), bound=0
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_another_wording_is_found_out(explorer: Explorer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """
    The exploration is not blind: each wording that the model refutes, and each likely slip, breaks a promise in it.
    """
    slip = SLIPS[name]
    if slip.patch:
        monkeypatch.setattr(*slip.patch)

    found = explorer.chunks(slip.story, slip.wording, bound=slip.bound, only=slip.only)

    assert any(slip.said in fault for fault in found.faults), found


def test_a_chunk_id_that_is_not_unique_is_found_out(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A worker that finds the chunk's id and writes all the same doubles every event, where no other key stops it.
    """
    monkeypatch.setattr(*wordings.NO_UNIQUE_CHUNK)

    with wordings.unkeyed(explorer.engine):
        found = explorer.chunks(ONE, bound=1, only="killed")

    assert any("final records" in fault for fault in found.faults), found


@pytest.mark.parametrize("records", [(2,), (2, 1)])
def test_a_checkpoint_that_is_not_compared_is_found_out(explorer: Explorer, records: tuple[int, ...]) -> None:
    """
    A splitter that writes what another wrote before doubles records, wherever each of them ends its chunks.
    """
    found = explorer.upload(Wording(wordings.CHECKPOINT_ALWAYS), Cutting(records), only="late|frozen|unanswered")

    assert found.faults
