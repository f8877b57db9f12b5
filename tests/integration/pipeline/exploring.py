"""Every schedule up to a number of disturbances: kills, freezes, outages, repeats and sweeps between any two steps.

A schedule is the default one, in which each actor runs to its end, and the disturbances at some of its decisions. It is
played from the beginning each time, on real servers. Where a disturbance leads to a state that an earlier schedule led
to, with as many disturbances left, what follows is known and is not played again.
"""

import re
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

_MOST_STEPS = 400
Choice = tuple[int, str]
Schedule = tuple[Choice, ...]


class World(Protocol):
    """What is explored."""

    def begin(self) -> None:
        """Forget everything, and stand at the first decision."""

    def choices(self) -> list[str]:
        """Return what can happen next, the undisturbed way first; nothing when all is at rest."""

    def take(self, choice: str) -> None:
        """Let it happen."""

    def state(self) -> Hashable:
        """Return everything on which the future depends."""

    def faults(self, *, at_rest: bool) -> list[str]:
        """Return what must never be, or must not be once all is at rest."""

    def end(self) -> None:
        """End the actors that are left."""


@dataclass
class Found:
    """What an exploration came to.

    Attributes:
        schedules: how many were played.
        states: how many different states disturbances led to.
        faults: what must not be, and the steps that led there.
    """

    schedules: int = 0
    states: int = 0
    faults: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n  ".join([*self.faults, f"after {self.schedules} schedules, {self.states} states:", *self.story[:80]])


def explore(world: World, *, disturbances: int, only: str = "") -> Found:
    """Play every schedule with at most so many disturbances, the least disturbed first, until one shows a fault.

    Args:
        world: what is explored.
        disturbances: the bound.
        only: an expression that says which disturbances to look at; all, if it is empty.
    """
    found, known, waiting = Found(), dict[Hashable, int](), deque[Schedule]([()])
    while waiting and not found.faults:
        schedule = waiting.popleft()
        found.schedules += 1
        try:
            more = _play(world, schedule, disturbances - len(schedule), known, found)
            waiting += [schedule for schedule in more if re.search(only, schedule[-1][1])]
        finally:
            world.end()
    found.states = len(known)
    return found


def _play(world: World, schedule: Schedule, left: int, known: dict[Hashable, int], found: Found) -> list[Schedule]:
    """Play one schedule. Returns those that disturb it once more."""
    planned, last = dict(schedule), schedule[-1][0] if schedule else -1
    more: list[Schedule] = []
    story: list[str] = []
    world.begin()
    for number in range(_MOST_STEPS):
        choices = world.choices()
        faults = world.faults(at_rest=not choices)
        if number == last + 1 and schedule:
            if known.get(state := world.state(), -1) >= left:
                return []
            known[state] = left
        if faults or not choices:
            found.faults, found.story = faults, story
            return more
        if number > last and left:
            more += [(*schedule, (number, choice)) for choice in choices[1:]]
        choice = planned.get(number, choices[0])
        story.append(choice)
        world.take(choice)
    found.faults, found.story = [f"no rest after {_MOST_STEPS} steps"], story
    return more
