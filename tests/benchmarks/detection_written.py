"""Texts written for this benchmark, so that anyone can measure without data of their own: ``detection_texts/``.

``== family field`` begins a section, every other line is one text. ``⏎`` is a line break; ``⟦a|b⟧`` stands for either
and makes several texts of one line; ``{hex:32}`` and the like are random, so that no file holds what looks like a key.
"""

import base64
import random
import re
import string
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.detection_data import BENIGN, Case

_FOLDER = Path(__file__).with_name("detection_texts")
_SEED = 20260101
_VARIANTS = 4
_CHOICE = re.compile("⟦([^⟧]*)⟧")
_RANDOM = re.compile(r"\{(hex|digits|upper|letters|alnum|base64):(\d+)\}")
_ALPHABETS = {
    "hex": "0123456789abcdef",
    "digits": string.digits,
    "upper": string.ascii_uppercase + "234567",
    "letters": string.ascii_letters,
    "alnum": string.ascii_letters + string.digits,
}


def written() -> Iterator[Case]:
    """Return them all: attacks and benign texts of both splits."""
    for name, split in (
        ("develop", "develop"),
        ("held-out", "held-out"),
        (f"{BENIGN}-develop", "develop"),
        (BENIGN, "held-out"),
    ):
        yield from read(_FOLDER / f"{name}.txt", split)


def read(path: Path, split: str) -> Iterator[Case]:
    """Return the cases of one file; the sections of files named ``benign…`` are the kinds of their texts."""
    section = field = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("== "):
            _, section, field = line.split(" ")
        elif line:
            family, tier = (BENIGN, section) if path.stem.startswith(BENIGN) else (section, "normal")
            for variant, text in enumerate(_expanded(line, random.Random(_SEED + number))):
                yield Case(
                    f"{path.stem}:{number}:{variant}", f"written here, {path.stem}", family, field, tier, text, split
                )


def _expanded(line: str, chance: random.Random) -> list[str]:
    """Return the texts that one line stands for, each once."""
    times = _VARIANTS if _CHOICE.search(line) else 1
    return list(dict.fromkeys(_one(line, chance) for _ in range(times)))


def _one(line: str, chance: random.Random) -> str:
    chosen = _CHOICE.sub(lambda found: chance.choice(found[1].split("|")), line)
    return _RANDOM.sub(lambda found: _characters(found[1], int(found[2]), chance), chosen).replace("⏎", "\n")


def _characters(alphabet: str, length: int, chance: random.Random) -> str:
    if alphabet == "base64":
        return base64.b64encode(chance.randbytes(length)).decode()[:length]
    return "".join(chance.choices(_ALPHABETS[alphabet], k=length))
