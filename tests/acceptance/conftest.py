"""One stack for all acceptance tests, as ``sentinel up`` makes it, with a webhook that hears its alerts."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests import servers
from tests.integration.alerting.listener import Listener
from tests.integration.deploy.running import Stack, eventually, stack


@dataclass(frozen=True)
class Installation:
    """The stack, and what hears of its alerts."""

    up: Stack
    listener: Listener


@pytest.fixture(scope="session")
def whole_installation() -> Iterator[Installation]:
    """Run the stack once."""
    listener = Listener()
    listener.start()
    settings = {"SENTINEL_ALERT_WEBHOOK_URL": listener.url, "SENTINEL_ALERT_ALLOW_PRIVATE": "1"}
    with servers.temporary_folder() as folder, stack(folder / "home", **settings) as up:
        yield Installation(up, listener)
    listener.stop()


@pytest.fixture
def installation(whole_installation: Installation) -> Installation:
    """Give the running stack once every part of it works."""
    eventually(whole_installation.up.is_ready)
    return whole_installation


@pytest.fixture
def up(installation: Installation) -> Stack:
    """Give the stack alone."""
    return installation.up
