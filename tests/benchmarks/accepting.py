"""Single events: how fast they are accepted beside endpoints that do nothing, and how soon they are all judged."""

import asyncio
import time

from tests.benchmarks.load import events, storm
from tests.benchmarks.rig import Rig, obvious
from tests.benchmarks.table import Table, at_least, at_most, ratio, spread

_CONNECTIONS = 32
_OBVIOUS = 500


async def measure(rig: Rig, table: Table) -> None:
    """Take turns: nothing done, nothing done without a thread, ours, the obvious design."""
    rates: dict[str, list[float]] = {name: [] for name in ("bare", "async-bare", "ours", "judged", "obvious", "theirs")}
    late = []
    with obvious(rig) as port:
        await _warm(rig, port)
        for number in range(rig.sizes.rounds):
            bodies = events(rig.sizes.singles, seed=rig.sizes.seed + number)
            for name in ("bare", "async-bare"):
                seconds, _ = await storm(port, f"/{name}", bodies, connections=_CONNECTIONS)
                rates[name].append(len(bodies) / seconds)
            seconds, answers = await storm(rig.port, "/api/events", bodies, connections=_CONNECTIONS)
            begun = time.perf_counter()
            assert all(answer.status == 202 for answer in answers)
            await asyncio.to_thread(rig.wait_until_judged)
            late.append(time.perf_counter() - begun)
            rates["ours"].append(len(bodies) / seconds)
            rates["judged"].append(len(bodies) / (seconds + late[-1]))
            accepted, judged = await through_obvious(rig, port, seed=rig.sizes.seed + number)
            rates["obvious"].append(accepted)
            rates["theirs"].append(judged)
    rig.check_accounts()
    ours = f"{spread(rates['ours'])} requests/s"
    for name, what in (("bare", "an endpoint that does nothing"), ("async-bare", "the same, asynchronous")):
        beside = f"{what}: {spread(rates[name])}"
        table.held("single events accepted", ours, beside, ratio(rates["ours"], rates[name]), at_least(0.75))
    beside = f"the obvious design: {spread(rates['obvious'])}"
    table.held("single events accepted", ours, beside, ratio(rates["ours"], rates["obvious"]), at_least(8))
    judged_rate = f"{spread(rates['judged'])} events/s"
    beside = f"accepted: {spread(rates['ours'])}"
    table.held("the same, judged", judged_rate, beside, ratio(rates["judged"], rates["ours"]), at_least(0.95))
    table.held("last 202 to last verdict", "", "", spread(late), at_most(0.5, "s"))
    beside = f"the obvious design: {spread(rates['theirs'])}"
    table.row("the same, judged", judged_rate, f"{beside}, {ratio(rates['judged'], rates['theirs'])} times")


async def through_obvious(rig: Rig, port: int, *, seed: int) -> tuple[float, float]:
    """Send events through the obvious design. Returns accepted and judged a second."""
    bodies = events(_OBVIOUS, seed=seed)
    with rig.database() as cursor:
        cursor.execute("TRUNCATE obvious")
        begun = time.perf_counter()
        seconds, _ = await storm(port, "/obvious", bodies, connections=_CONNECTIONS)
        while True:
            cursor.execute("SELECT count(*) FROM obvious")
            found = cursor.fetchone()
            if found is not None and found[0] >= len(bodies):
                return len(bodies) / seconds, len(bodies) / (time.perf_counter() - begun)
            assert time.perf_counter() - begun < 60, "the obvious design lost events"
            await asyncio.sleep(0.01)


async def _warm(rig: Rig, port: int) -> None:
    """Have everything loaded and connected before the first round."""
    bodies = events(300, seed=1)
    await storm(rig.port, "/api/events", bodies, connections=_CONNECTIONS)
    await storm(port, "/async-bare", bodies, connections=_CONNECTIONS)
    await through_obvious(rig, port, seed=1)
    await asyncio.to_thread(rig.wait_until_judged)
