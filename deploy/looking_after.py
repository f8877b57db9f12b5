"""Looking after what lives and does nothing: it is killed, and started again as any that died."""

import asyncio
import time
from typing import NoReturn

from deploy import frozen, readiness, stuck
from deploy.output import Console
from deploy.settings import LauncherSettings
from deploy.supervise import Supervisor


async def look_after(supervisor: Supervisor, settings: LauncherSettings, console: Console) -> None:
    """Restart stuck workers and a frozen API, for ever."""
    await asyncio.gather(_workers(supervisor, settings, console), _api(supervisor, settings, console))


async def _workers(supervisor: Supervisor, settings: LauncherSettings, console: Console) -> NoReturn:
    workers = stuck.StuckWorkers(time.monotonic)
    while True:
        await asyncio.sleep(stuck.ASK_SECONDS)
        try:
            answer = await readiness.ask(settings, readiness.FULL)
            for queue in workers.hear(answer[1] if answer else None):
                supervisor.restart(queue, "it lives, and takes nothing up although work waits")
        except Exception as error:  # noqa: BLE001 - it must not take with it what works
            console.say(f"The workers could not be looked after this time: {error!r}")


async def _api(supervisor: Supervisor, settings: LauncherSettings, console: Console) -> NoReturn:
    api = frozen.FrozenApi(time.monotonic)
    while True:
        await asyncio.sleep(frozen.PAUSE_SECONDS)
        try:
            answer = await readiness.ask(settings, readiness.ALIVE, patience=api.ask())
            if api.hear(answered=answer is not None) and supervisor.restart("api", "it lives, and answers nobody"):
                api.was_killed()
        except Exception as error:  # noqa: BLE001 - it must not take with it what works
            console.say(f"The API could not be looked after this time: {error!r}")
