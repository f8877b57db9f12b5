"""A process that loads the rules as a worker does, judges what it is given, and waits: to see what that takes.

``python -m tests.benchmarks.detection_worker CACHE PACKS…``. Events come as JSON, one a line; after the first it writes
a line, after the last another.
"""

import sys
from pathlib import Path

import msgspec

from detection import Event, Scanner, load_rule_set


def main(cache: str, *packs: str) -> None:
    """Judge every event of the standard input."""
    scanner = Scanner(load_rule_set(*map(Path, packs), cache=Path(cache)))
    decode = msgspec.json.Decoder(Event).decode
    for number, line in enumerate(sys.stdin.buffer):
        if not line.strip():
            break
        scanner.scan(decode(line))
        if not number:
            print("first verdict", flush=True)
    print("all judged", flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
