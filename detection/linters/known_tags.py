"""Tags are ids of published lists, pinned here so that a slip of the pen is not a new category."""

from collections.abc import Iterator, Mapping, Sequence

from detection.errors import RuleError
from detection.rule import Rule

_ATLAS = {
    "AML.T0000": 0, "AML.T0001": 0, "AML.T0002": 2, "AML.T0003": 0, "AML.T0004": 0, "AML.T0005": 3, "AML.T0006": 0,
    "AML.T0007": 0, "AML.T0008": 5, "AML.T0010": 5, "AML.T0011": 2, "AML.T0012": 0, "AML.T0013": 0, "AML.T0014": 0,
    "AML.T0015": 0, "AML.T0016": 3, "AML.T0017": 1, "AML.T0018": 3, "AML.T0019": 0, "AML.T0020": 0, "AML.T0021": 0,
    "AML.T0024": 3, "AML.T0025": 0, "AML.T0029": 0, "AML.T0031": 0, "AML.T0034": 0, "AML.T0035": 0, "AML.T0036": 0,
    "AML.T0037": 0, "AML.T0040": 0, "AML.T0041": 0, "AML.T0042": 0, "AML.T0043": 5, "AML.T0044": 0, "AML.T0046": 0,
    "AML.T0047": 0, "AML.T0048": 5, "AML.T0049": 0, "AML.T0050": 0, "AML.T0051": 2, "AML.T0052": 1, "AML.T0053": 0,
    "AML.T0054": 0, "AML.T0055": 0, "AML.T0056": 0, "AML.T0057": 0, "AML.T0058": 0, "AML.T0059": 0, "AML.T0060": 0,
    "AML.T0061": 0, "AML.T0062": 0, "AML.T0063": 0, "AML.T0064": 0, "AML.T0065": 0, "AML.T0066": 0, "AML.T0067": 1,
    "AML.T0068": 0, "AML.T0069": 3, "AML.T0070": 0, "AML.T0071": 0, "AML.T0072": 0, "AML.T0073": 0, "AML.T0074": 0,
    "AML.T0075": 0, "AML.T0076": 0, "AML.T0077": 0, "AML.T0078": 0, "AML.T0079": 0, "AML.T0080": 2, "AML.T0081": 0,
    "AML.T0082": 0, "AML.T0083": 0, "AML.T0084": 3, "AML.T0085": 2, "AML.T0086": 0,
}  # fmt: skip
"""MITRE ATLAS techniques, each with the number of its sub-techniques."""

KNOWN: Mapping[str, frozenset[str]] = {
    "owasp_llm": frozenset(f"LLM{number:02}:2025" for number in range(1, 11)),
    "owasp_agentic": frozenset(f"ASI{number:02}:2026" for number in range(1, 11)),
    "owasp_mcp": frozenset(f"MCP{number:02}:2025" for number in range(1, 11)),
    "atlas": frozenset(
        technique + suffix
        for technique, count in _ATLAS.items()
        for suffix in ("", *(f".{number:03}" for number in range(count)))
    ),
}
"""The ids that a tag may have, by the list that they are from."""


def check(rules: Sequence[Rule]) -> Iterator[RuleError]:
    """Name every tag that is in no list, and every list that is not known."""
    for rule in rules:
        for scheme, ids in rule.tags.items():
            if scheme not in KNOWN:
                yield RuleError(
                    "unknown-tag", rule.place("tags", scheme), f"{scheme} is no list of tags: {', '.join(KNOWN)}"
                )
                continue
            for index, tag in enumerate(ids):
                if tag not in KNOWN[scheme]:
                    yield RuleError("unknown-tag", rule.place("tags", scheme, index), f"{tag} is not in {scheme}")
