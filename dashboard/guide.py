"""What the upload page tells: how events look, how they are sent, and what flags one, drawn from the rules in force."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detection import Rule

_SEARCH = {
    "timestamp": "2024-01-15T14:30:00Z",
    "user": "alice",
    "agent": "ChatBot",
    "tool": "web_search",
    "prompt": "Search for recent security vulnerabilities",
    "response": "Found 15 recent CVE entries...",
}
_FILE = {
    "timestamp": "2023-12-01T10:30:00Z",
    "user": "user@example.com",
    "agent": "claude-3",
    "tool": "filesystem",
    "prompt": "Read the configuration file",
    "response": "File contents: {...}",
}
_TOOLS, _KEYWORDS, _SIZES, _INJECTIONS = "Dangerous Tools", "Suspicious Keywords", "Size Limits", "Injection Patterns"
_PLURALS = {"prompt": "Prompts", "response": "Responses"}
_ATTEMPTS = {
    "sql": "SQL injection attempts",
    "command": "Command injection patterns",
    "script": "Script injection attempts",
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of what flags an event, and the rules that it stands for."""

    text: str
    rules: Sequence[Rule]


def examples() -> Mapping[str, str]:
    """Return the example bodies of the page, as JSON to copy."""
    several_in_file = [
        _FILE | {"response": "File contents: config.json"},
        _FILE
        | {
            "timestamp": "2023-12-01T10:31:00Z",
            "tool": "operation",
            "response": "Operation: read\nFile: /etc/config.json",
        },
    ]
    several = [
        _SEARCH | {"prompt": "Search for data", "response": "Results found"},
        {
            "timestamp": "2024-01-15T14:31:00Z",
            "user": "bob",
            "agent": "AssistantBot",
            "tool": "os_shell",
            "prompt": "Run whoami command",
            "response": "user123",
        },
    ]
    bodies = {"file_one": _FILE, "file_several": several_in_file, "one": _SEARCH, "several": several}
    return {name: json.dumps(body, indent=2) for name, body in bodies.items()}


def curl(base_url: str) -> str:
    """Return the command that posts one event to this installation."""
    body = json.dumps(
        _SEARCH | {"prompt": "Search for information", "response": "Search completed successfully"}, indent=2
    )
    indented = body.replace("\n", "\n  ")
    url = shlex.quote(f"{base_url}/api/events")
    return f"curl -X POST {url} \\\n  -H \"Content-Type: application/json\" \\\n  -d '{indented}'"


def criteria(rules: Iterable[Rule]) -> Mapping[str, Sequence[Criterion]]:
    """Return what flags an event, by the kind of thing it is; every rule in force is in it once."""
    groups: dict[str, dict[str, list[Rule]]] = {
        _TOOLS: {}, _KEYWORDS: {}, _SIZES: {}, _INJECTIONS: {text: [] for text in _ATTEMPTS.values()},
    }  # fmt: skip
    # In the order in which their authors wrote them down.
    for rule in sorted(rules, key=lambda rule: rule.place()):
        group, text = _criterion(rule)
        groups[group].setdefault(text, []).append(rule)
    found = {name: [Criterion(text, of) for text, of in lines.items() if of] for name, lines in groups.items()}
    return {name: lines for name, lines in found.items() if lines}


def _criterion(rule: Rule) -> tuple[str, str]:
    matchers = {pattern.matcher for pattern in rule.patterns}
    values = [value for pattern in rule.patterns for value in pattern.values]
    if matchers == {"equals"} and rule.fields == ("tool",):
        return _TOOLS, f"{', '.join(map(str, values))} - {rule.patterns[0].means or rule.title}"
    if matchers == {"longer_than"}:
        fields = " and ".join(_PLURALS.get(field, field) for field in rule.fields)
        return _SIZES, f"{fields} > {int(values[0]):,} characters"
    if matchers == {"contains"}:
        return _KEYWORDS, ", ".join(f'"{value}"' for value in values)
    family = next((name for name in _ATTEMPTS if name in rule.id.split("-") or rule.id.startswith(name)), None)
    return _INJECTIONS, _ATTEMPTS[family] if family else rule.title
