"""What other products say of a text. Runs in an environment of its own, ``.venv/bench``, which has them and not us.

Reads a JSON list of texts from standard input and writes one JSON object: under ``peers`` for each its version and a
``1`` or ``0`` for each text, under ``missing`` why a peer cannot be asked. Nothing here uses the network or a model.
"""

import ast
import importlib
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

Judge = Callable[[str], bool]


class Peer(NamedTuple):
    """Another product: the package it comes in, and how it is made ready to judge."""

    package: str
    ready: Callable[[], Judge]


def _libinjection() -> Judge:
    library = importlib.import_module("libinjection")
    return lambda text: bool(library.is_sql_injection(text)["is_sqli"] or library.is_xss(text)["is_xss"])


def _yara(package: str, folder: str) -> Judge:
    """Return a judge by all the rules of that folder, without importing the package around it."""
    files = sorted((_home(package) / folder).glob("*.yar*"))
    rules = importlib.import_module("yara").compile(sources={path.name: path.read_text("utf-8") for path in files})
    return lambda text: bool(rules.match(data=text))


def _agent_os() -> Judge:
    logging.getLogger("agent_os").setLevel(logging.CRITICAL)
    detector = importlib.import_module("agent_os.prompt_injection").PromptInjectionDetector()
    return lambda text: bool(detector.detect(text).is_injection)


def _detect_secrets() -> Judge:
    importlib.import_module("detect_secrets")
    plugins = importlib.import_module("detect_secrets.core.plugins.util").get_mapping_from_secret_type_to_class()
    return _secrets([{"name": plugin.__name__} for plugin in plugins.values()])


def _llm_guard() -> Judge:
    """Return a judge by LLM Guard's patterns of secrets, read from its list, for importing it needs its models."""
    folder = _home("llm_guard") / "input_scanners"
    (listed,) = (
        ast.unparse(node.value)
        for node in ast.parse((folder / "secrets.py").read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_default_detect_secrets_config"
    )
    return _secrets(
        ast.literal_eval(listed.replace("_custom_plugins_path + '", f"'file://{folder}/secrets_plugins"))[
            "plugins_used"
        ]
    )


def _secrets(plugins: list[dict[str, str]]) -> Judge:
    """Return a judge that scans the text as a file, as the command of detect-secrets would, and verifies nothing."""
    collection = importlib.import_module("detect_secrets.core.secrets_collection").SecretsCollection
    settings = importlib.import_module("detect_secrets.settings")
    # They are the process': a judge holds until the next one is made.
    settings.cache_bust()
    settings.configure_settings_from_baseline({"plugins_used": plugins})
    folder = tempfile.TemporaryDirectory(prefix="sentinel-bench-")
    file = Path(folder.name) / "text"

    def judge(text: str) -> bool:
        file.write_text(text, encoding="utf-8")
        found: Any = collection(root=folder.name)
        found.scan_file(file.name)
        return bool(found)

    return judge


def _home(package: str) -> Path:
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {package!r}")
    return Path(next(iter(found.submodule_search_locations)))


PEERS: Mapping[str, Peer] = {
    "libinjection": Peer("libinjection-python", _libinjection),
    "Cisco mcp-scanner": Peer("cisco-ai-mcp-scanner", lambda: _yara("mcpscanner", "data/yara_rules")),
    "NeMo Guardrails": Peer(
        "nemoguardrails", lambda: _yara("nemoguardrails", "library/injection_detection/yara_rules")
    ),
    "Microsoft agent-os": Peer("agent-os-kernel", _agent_os),
    "LLM Guard": Peer("llm-guard", _llm_guard),
    "detect-secrets": Peer("detect-secrets", _detect_secrets),
}
"""Every peer by its name. One more is one function and one line here, and its package in requirements/bench.in."""


def answer(texts: list[str], over: Callable[..., Iterable[dict[str, str]]] = map) -> dict[str, Any]:
    """Return what every peer says of every text; ``over`` may ask several at once."""
    said = dict(zip(PEERS, over(_ask, PEERS, repeat(texts)), strict=True))
    return {
        "peers": {name: answers for name, answers in said.items() if "reason" not in answers},
        "missing": {name: answers["reason"] for name, answers in said.items() if "reason" in answers},
    }


def _ask(name: str, texts: list[str]) -> dict[str, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            judge = PEERS[name].ready()
        return {
            "version": metadata.version(PEERS[name].package),
            "verdicts": "".join("01"[judge(text)] for text in texts),
        }
    except Exception as error:  # noqa: BLE001  (a peer that breaks must not take the others with it)
        return {"reason": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    # Lone surrogates cannot be handed to code in C.
    given = [text.encode("utf-8", "replace").decode() for text in json.load(sys.stdin)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        json.dump(answer(given, pool.map), sys.stdout)
