"""``make fuzz``: coverage-guided fuzzing of parsing and detection, for a minute, or for as long as is asked.

What is found is kept in ``out/fuzz/crashes``. ``python -m tests.fuzz --again FILE`` runs it once more.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from detection import SHIPPED_PACKS, RuleSet, load_rule_set
from tests.fuzz import seeds
from tests.fuzz.targets import NAMES, corpus, targets

_OUT = Path("out/fuzz")
_CRASHES, _CACHE, _WORDS = _OUT / "crashes", _OUT / "databases", _OUT / "words.dict"
# Seconds for one text, megabytes for the process: beyond them a text counts as a crash. The longest text, in bytes.
_LIMITS = ("-timeout=10", "-rss_limit_mb=3000", "-max_len=4096")


def main() -> int:
    """Fuzz every target in turn; return how many of them found something."""
    arguments = _arguments()
    rule_set = load_rule_set(arguments.packs, cache=_CACHE)
    if arguments.again:
        target = arguments.again.name.partition("-")[0]
        targets(rule_set)[target](arguments.again.read_bytes())
        _say(f"{arguments.again}: nothing is wrong any more")
        return 0
    _CRASHES.mkdir(parents=True, exist_ok=True)
    _WORDS.write_text("".join(f'"{_quoted(word)}"\n' for word in seeds.words(rule_set.rules)), encoding="ascii")
    names = arguments.targets or NAMES
    each = max(1, arguments.seconds // len(names))
    found = [name for name in names if not _fuzz(name, arguments.packs, rule_set, each)]
    crashes = sorted(map(str, _CRASHES.iterdir()))
    _say(f"fuzzed {', '.join(names)} for {each} s each: {'found something' if found else 'nothing found'}")
    for crash in crashes:
        _say(f"  python -m tests.fuzz --again {crash}")
    return len(found)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*NAMES, []], metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--packs", type=Path, default=SHIPPED_PACKS, help="a folder of packs")
    parser.add_argument("--again", type=Path, help="a file of out/fuzz/crashes to run once more")
    return parser.parse_args()


def _fuzz(name: str, packs: Path, rule_set: RuleSet, seconds: int) -> bool:
    """Run one target; say whether nothing was found."""
    start = _OUT / "corpus" / name
    start.mkdir(parents=True, exist_ok=True)
    _write(start, corpus(name, rule_set.rules))
    options = (f"-max_total_time={seconds}", f"-artifact_prefix={_CRASHES}/{name}-", f"-dict={_WORDS}", *_LIMITS)
    command = (sys.executable, "-m", "tests.fuzz.guided", name, str(packs), str(_CACHE), *options, str(start))
    _say(f"{name} …")
    log = _OUT / f"{name}.log"
    with log.open("wb") as target:
        ended = subprocess.run(command, stdout=target, stderr=subprocess.STDOUT, check=False, env=os.environ)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    _say("\n".join(lines[-1:] if ended.returncode == 0 else lines[-30:]))
    return ended.returncode == 0


def _write(folder: Path, inputs: Iterable[bytes]) -> None:
    for data in inputs:
        path = folder / hashlib.sha256(data).hexdigest()[:16]
        if not path.exists():
            path.write_bytes(data)


def _quoted(word: str) -> str:
    """Return a word as a dictionary of libFuzzer writes it."""
    return word.replace("\\", "\\\\").replace('"', '\\"')


if __name__ == "__main__":
    sys.exit(main())
