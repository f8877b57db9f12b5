"""Other products, judged on the same texts: they run in a process and an environment of their own."""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ADAPTERS = Path(__file__).with_name("detection_adapters.py")


@dataclass(slots=True)
class Answers:
    """What the peers said; complete once the ``with`` block that asked is left."""

    versions: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, list[bool]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@contextmanager
def asked(python: Path | None, texts: Sequence[str]) -> Iterator[Answers]:
    """Ask all peers while the block runs; what cannot be asked is told as missing, with the reason."""
    answers = Answers()
    if python is None:
        yield answers
    elif not python.exists():
        answers.missing["every peer"] = f"there is no {python}; `make bench-detection` makes it"
        yield answers
    else:
        with tempfile.TemporaryFile("w+", encoding="ascii") as given, tempfile.TemporaryFile("w+") as said:
            json.dump(list(texts), given)
            given.seek(0)
            with _started(python, given, said) as process:
                yield answers
                if process.wait():
                    answers.missing["every peer"] = f"the adapters ended with status {process.returncode}"
                    return
            said.seek(0)
            _fill(answers, json.load(said), len(texts))


def _fill(answers: Answers, said: Mapping[str, Mapping[str, object]], count: int) -> None:
    answers.missing.update({name: str(reason) for name, reason in said["missing"].items()})
    for name, peer in said["peers"].items():
        assert isinstance(peer, dict)
        assert len(peer["verdicts"]) == count
        answers.versions[name] = str(peer["version"])
        answers.verdicts[name] = [letter == "1" for letter in peer["verdicts"]]


@contextmanager
def _started(python: Path, given: IO[str], said: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the adapters, and leave no process of theirs behind. ``-I``: our packages and variables do not reach them."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONUTF8": "1"}
    process = subprocess.Popen(
        [python, "-I", ADAPTERS], stdin=given, stdout=said, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
