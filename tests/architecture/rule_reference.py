"""Writes ``docs/rules/`` from the shipped packs: a page for each, and one that leads to them.

Run ``python -m tests.architecture.rule_reference`` after a rule has changed.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.architecture import tree

PACKS = tree.ROOT / "detection" / "packs"
PAGES = tree.ROOT / "docs" / "rules"
COMMAND = "python -m tests.architecture.rule_reference"
_MADE = f"<!-- Written by `{COMMAND}`; a test compares this page with the packs. -->\n"
_SEVERITIES = ("critical", "high", "medium", "low", "informational")
_ACTIONS = ("page", "alert", "record")
_LONGEST = 300
_LISTS = {"owasp_llm": "OWASP LLM", "owasp_agentic": "OWASP Agentic", "owasp_mcp": "OWASP MCP", "atlas": "MITRE ATLAS"}
TITLES = {
    "LLM01:2025": "Prompt Injection",
    "LLM02:2025": "Sensitive Information Disclosure",
    "LLM03:2025": "Supply Chain",
    "LLM04:2025": "Data and Model Poisoning",
    "LLM05:2025": "Improper Output Handling",
    "LLM06:2025": "Excessive Agency",
    "LLM07:2025": "System Prompt Leakage",
    "LLM08:2025": "Vector and Embedding Weaknesses",
    "LLM09:2025": "Misinformation",
    "LLM10:2025": "Unbounded Consumption",
    "ASI01:2026": "Agent Goal Hijack",
    "ASI02:2026": "Tool Misuse and Exploitation",
    "ASI03:2026": "Identity and Privilege Abuse",
    "ASI04:2026": "Agentic Supply Chain Vulnerabilities",
    "ASI05:2026": "Unexpected Code Execution",
    "ASI06:2026": "Memory and Context Poisoning",
    "ASI07:2026": "Insecure Inter-Agent Communication",
    "ASI08:2026": "Cascading Failures",
    "ASI09:2026": "Human-Agent Trust Exploitation",
    "ASI10:2026": "Rogue Agents",
    "MCP01:2025": "Token Mismanagement and Secret Exposure",
    "MCP02:2025": "Privilege Escalation via Scope Creep",
    "MCP03:2025": "Tool Poisoning",
    "MCP04:2025": "Supply Chain Attacks and Dependency Tampering",
    "MCP05:2025": "Command Injection and Execution",
    "MCP06:2025": "Intent Flow Subversion",
    "MCP07:2025": "Insufficient Authentication and Authorization",
    "MCP08:2025": "Lack of Audit and Telemetry",
    "MCP09:2025": "Shadow MCP Servers",
    "MCP10:2025": "Context Injection and Over-Sharing",
}
# What Markdown, or a page that shows it, could take for its own, and what no one would see.
_SIGN = re.compile(r"[`\u007f-\U0010ffff]|\](?=\()")
# A reader, and a test, would look for it in the tree.
_OWN_PATH = re.compile(rf"\b({'|'.join((*tree.PACKAGES, 'docs', 'tests', 'requirements', 'ci'))})/")
_PROSE = re.compile(r"[\\`*\[\]~$]|(?<!\w)_|_(?!\w)")

_BELOW = """\
The first five numbers count rules by severity, the last three by what a finding asks for: to page or to alert a person,
or only to be recorded.

## By published lists
"""
_EXAMPLES = """\
## How examples are written

Each rule shows one text that it matches and one that it must not, as JSON: the fields of an event that are not empty.
Signs that could not be seen, or that a page could take for its own, are written as `\\uXXXX`. What is left out of a
long text is counted in brackets.
"""

Pack = Mapping[str, Any]


def packs(folder: Path = PACKS) -> list[Pack]:
    """Return the packs as they are written, in the order of their names."""
    return [
        yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) for path in sorted(folder.glob("*.yaml"))
    ]


def pages(found: Sequence[Pack]) -> dict[str, str]:
    """Return every page by its name."""
    return {"README.md": _index(found)} | {f"{pack['pack']}.md": _page(pack) for pack in found}


def _index(found: Sequence[Pack]) -> str:
    rows = [
        (f"[{pack['pack']}]({pack['pack']}.md)", prose(pack.get("description", "")), *_counts(pack["rules"]))
        for pack in found
    ]
    every = [rule for pack in found for rule in pack["rules"]]
    rows.append(("all", "", *_counts(every)))
    tests = Counter(kind for rule in every for kind, cases in rule["tests"].items() for _ in cases)
    head = (
        f"{len(every)} rules in {len(found)} packs, with {tests['attacks']:,} attacks that they must match and "
        f"{tests['benign']:,} benign twins that they must not. How a rule is written stands in [rules](../rules.md), "
        "how good they are in [detection](../detection.md)."
    )
    heads = ("pack", "what it is for", *_SEVERITIES, "rules", *_ACTIONS)
    lists = _table(("list", "id", "what it is called there", "rules"), _coverage(every))
    return f"# The shipped rules\n\n{_MADE}\n{head}\n\n{_table(heads, rows)}\n{_BELOW}\n{lists}\n{_EXAMPLES}"


def _counts(rules: Sequence[Mapping[str, Any]]) -> list[str]:
    severities = Counter(rule["severity"] for rule in rules)
    actions = Counter(rule["action"] for rule in rules)
    numbers = [*(severities[each] for each in _SEVERITIES), len(rules), *(actions[each] for each in _ACTIONS)]
    return [str(number or "") for number in numbers]


def _coverage(rules: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Give how many rules name each id of the lists."""
    counts = Counter((name, tag) for rule in rules for name, tags in rule["tags"].items() for tag in _listed(tags))
    for name, title in _LISTS.items():
        for (_, tag), count in sorted(item for item in counts.items() if item[0][0] == name):
            yield title, _tag(tag, titled=False), TITLES.get(tag, ""), str(count)


def _page(pack: Pack) -> str:
    rows = [
        (f"[{rule['id']}](#{rule['id']})", prose(rule["title"]), rule["severity"], rule["confidence"], rule["action"])
        for rule in pack["rules"]
    ]
    head = (
        f"# {pack['pack']}\n\n{_MADE}\n{prose(pack.get('description', ''))} Other packs are [here](README.md).\n\n",
        _table(("rule", "what it finds", "severity", "confidence", "action"), rows),
    )
    return "".join((*head, *map(_section, pack["rules"])))


def _section(rule: Mapping[str, Any]) -> str:
    tests = rule["tests"]
    return "".join(
        (
            f"\n## {rule['id']}\n\n**{prose(rule['title'])}.** {prose(rule['description'])}\n\n",
            _table(("", ""), _facts(rule)),
            f"\nMatches:\n\n```json\n{example(tests['attacks'][0])}\n```\n",
            f"\nMust not match:\n\n```json\n{example(tests['benign'][0])}\n```\n",
        )
    )


def _facts(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "severity, confidence", f"{rule['severity']}, {rule['confidence']}"
    yield "action, status", f"{rule['action']}, {rule['status']}"
    yield (
        "looks at",
        _and(_listed(rule["fields"]))
        + (f"; only in the view {_and(_listed(rule['views']))}" if "views" in rule else ""),
    )
    for key, said in (("only", "only those with {} in the name"), ("not", "none with {} in the name")):
        if words := rule.get("tools", {}).get(key):
            yield "tools", said.format(" or ".join(map(prose, _listed(words))))
    yield "also matched by", prose(rule["false_positives"])
    for name, tags in rule["tags"].items():
        yield _LISTS.get(name, name), ", ".join(_tag(tag) for tag in _listed(tags))
    if "references" in rule:
        yield "references", ", ".join(f"<{url}>" for url in _listed(rule["references"]))


def _tag(tag: str, *, titled: bool = True) -> str:
    if tag.startswith("AML."):
        return f"[{tag}](https://atlas.mitre.org/techniques/{tag})"
    return f"{tag} {TITLES[tag]}" if titled and tag in TITLES else tag


def example(fields: Mapping[str, Any]) -> str:
    """Return the fields of a test as JSON on one line, in signs that no page takes for its own."""
    shown = {name: _cut(value) for name, value in fields.items()}
    line = json.dumps(shown, ensure_ascii=False, default=str)
    return _OWN_PATH.sub(r"\1\/", _SIGN.sub(lambda match: _escaped(match[0]), line))


def _cut(value: Any) -> Any:
    """Return a value as a page has room for it."""
    if isinstance(value, Mapping) and set(value) == {"repeat", "times"}:
        return _cut(str(value["repeat"]) * int(value["times"]))
    if isinstance(value, Mapping):
        return {name: _cut(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner) for inner in value]
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[: _LONGEST // 2]} [{len(value) - _LONGEST:,} characters] {value[-_LONGEST // 2 :]}"
    return value


def _escaped(sign: str) -> str:
    if sign.isprintable() and not sign.isascii():
        return sign
    return json.dumps(sign)[1:-1] if not sign.isascii() else f"\\u{ord(sign):04x}"


def prose(text: str) -> str:
    """Return a plain text as Markdown that shows nothing but it."""
    plain = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _PROSE.sub(r"\\\g<0>", plain).replace("|", "&#124;").replace("://", "&#58;//").replace("](", "]&#40;")


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _and(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def write() -> None:
    """Write all pages, and remove those of packs that are gone."""
    PAGES.mkdir(exist_ok=True)
    made = pages(packs())
    for path in PAGES.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
