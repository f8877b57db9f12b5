"""Packs of one small rule, for tests that need one."""

BROKEN = "pack: house\nrules:\n  - id: Not An Id\n"


def pack(
    patterns: str,
    attack: str,
    *,
    name: str = "example",
    rule: str = "example",
    severity: str = "low",
    fields: str = "prompt",
) -> str:
    """Return a pack whose one rule has these patterns, and must match the attack."""
    return f"""\
pack: {name}
rules:
  - id: {rule}
    title: Example
    description: An example.
    status: stable
    severity: {severity}
    confidence: low
    action: record
    tags: {{}}
    false_positives: none known
    fields: [{fields}]
    patterns: {patterns}
    tests:
      attacks: [{{prompt: {attack}}}]
      benign: [{{prompt: nothing is here}}]
"""


def word_pack(word: str, *, rule: str = "site-word") -> str:
    """Return a pack of a site whose one rule finds a word."""
    return pack(f"{{name: {{contains: {word}}}}}", f"tell me of {word}", name="house", rule=rule, severity="medium")
