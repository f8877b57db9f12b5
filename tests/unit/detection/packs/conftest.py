"""What the tests of the packs share: all shipped rules together, as a site has them."""

import pytest

from detection import Scanner, load_rule_set
from tests.unit.detection.conftest import Judge, event


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Return a function that judges an event of the fields given by all shipped rules."""
    scanner = Scanner(load_rule_set())
    return lambda **fields: scanner.scan(event(**fields))
