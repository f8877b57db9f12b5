"""One run of the coverage-guided fuzzer over one target, in a process of its own: libFuzzer never returns.

Run by ``python -m tests.fuzz``. It needs atheris, which is installed for that alone.
"""

import sys
from importlib import import_module
from pathlib import Path


def main(name: str, packs: str, cache: str, *options: str) -> None:
    """Fuzz a target."""
    atheris = import_module("atheris")
    # What is imported in here reports which of its lines ran.
    with atheris.instrument_imports(include=["detection", "ingest_api", "pipeline"]):
        detection, targets = import_module("detection"), import_module("tests.fuzz.targets")
    rule_set = detection.load_rule_set(Path(packs), cache=Path(cache))
    atheris.Setup(["tests.fuzz", *options], targets.targets(rule_set)[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
