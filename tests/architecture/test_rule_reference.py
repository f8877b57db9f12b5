"""The pages about the shipped rules are those that the packs give, and show attacks without being one."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.linters.known_tags import KNOWN
from tests.architecture import rule_reference

WRITTEN = {path.name: path.read_text(encoding="utf-8") for path in rule_reference.PAGES.glob("*.md")}
MADE = rule_reference.pages(rule_reference.packs())
HOSTILE = st.lists(
    st.sampled_from(("```", "`", "](", "](x.md)", "<b>", "|", "\n", "\\", "docs/x.md", "\u200b", "é")) | st.text()
)


@pytest.mark.parametrize("name", sorted(WRITTEN | MADE))
def test_a_page_is_the_one_that_the_packs_give(name: str) -> None:
    """
    Every pack has its page, every page its pack, and neither has changed without the other.
    """
    assert WRITTEN.get(name) == MADE.get(name), f"run: {rule_reference.COMMAND}"


def test_every_rule_has_a_section_that_its_table_leads_to() -> None:
    """
    A reader finds each rule by its id.
    """
    for pack in rule_reference.packs():
        page = MADE[f"{pack['pack']}.md"]
        for rule in pack["rules"]:
            assert f"[{rule['id']}](#{rule['id']})" in page
            assert f"\n## {rule['id']}\n" in page


def test_every_id_of_the_lists_is_spelled_out() -> None:
    """
    A tag says what it stands for; those of ATLAS lead to where that is said.
    """
    spelled = rule_reference.TITLES.keys()

    assert {tag for tags in KNOWN.values() for tag in tags if not tag.startswith("AML.")} == spelled


@given(text=HOSTILE.map("".join))
def test_an_example_is_one_inert_line_that_says_the_same(text: str) -> None:
    """
    No attack text ends the block it stands in, makes a link or an element, or hides signs; as JSON it is what it was.
    """
    shown = rule_reference.example({"prompt": text[:300]})

    assert json.loads(shown) == {"prompt": text[:300]}
    assert not re.search(r"[`\n\u200b]|\]\(|(?<!\w)docs/", shown)
    assert shown.isprintable()


@given(text=HOSTILE.map("".join))
def test_a_sentence_of_a_rule_makes_no_markup(text: str) -> None:
    """
    Titles and descriptions show what they say, also inside a table.
    """
    shown = rule_reference.prose(text)

    assert not re.search(r"[<>|\n]|\]\(|(?<!\\)(?:\\\\)*[`*\[]", shown)


def test_a_long_example_is_cut() -> None:
    """
    A text of thousands of signs does not fill the page.
    """
    assert rule_reference.example({"prompt": {"repeat": "xy", "times": 1000}}).count("xy") == 150
    assert "[1,700 characters]" in rule_reference.example({"prompt": "x" * 2000})
