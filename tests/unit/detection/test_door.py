"""The engine's door."""

import subprocess
import sys

import detection


def test_every_name_of_the_door_opens() -> None:
    """
    What is listed can be had, and nothing else.
    """
    assert all(getattr(detection, name) is not None for name in detection.__all__)
    assert not hasattr(detection, "compile")


def test_help_does_not_wait_for_the_engine() -> None:
    """
    The commands are defined without loading the pattern engine or the rule reader.
    """
    program = "import sys, detection.cli; print(sorted({'hyperscan', 'yaml', 'msgspec'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"
