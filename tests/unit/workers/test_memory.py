"""The bound on a process's memory, under whatever limits the process was given."""

import subprocess
import sys

import pytest

_MOST = 2 << 30


@pytest.mark.parametrize(
    ("soft", "hard", "then"),
    [(-1, -1, _MOST), (1 << 30, -1, 1 << 30), (1 << 30, 1 << 30, 1 << 30), (3 << 30, 4 << 30, _MOST)],
)
def test_a_limit_that_is_lower_stays(soft: int, hard: int, then: int) -> None:
    """
    A machine's own bound is neither lifted nor a reason to fail, and the hard one is left.
    """
    script = (
        "from resource import *; from workers.memory import bound; "
        f"setrlimit(RLIMIT_DATA, ({soft}, {hard})); bound({_MOST}); print(*getrlimit(RLIMIT_DATA))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [str(then), str(hard)]
