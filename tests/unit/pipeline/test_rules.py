"""The rules in force follow their files, and what is broken never takes away what works."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import pytest
from structlog.testing import capture_logs

from detection import Event, RuleErrors, Scanner
from pipeline.rules import InForce, Rules
from pipeline.settings import PipeSettings
from tests.packs import BROKEN, word_pack


class Site:
    """A data folder whose rules are one replacing pack and what a test writes beside it; its clock stands still."""

    def __init__(self, home: Path) -> None:
        self.home, self.now = home, datetime(2026, 3, 1, 12, tzinfo=UTC)
        (home / "replacing").mkdir(parents=True)
        self.write("replacing/base.yaml", word_pack("walrus", rule="base-word"))

    def write(self, name: str, content: str) -> None:
        """Write a file, and make sure that it counts as changed."""
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))

    def rules(self, *, replacing: bool = True) -> Rules:
        """Load the rules, as a process does that starts now."""
        packs = self.home / "replacing" if replacing else None
        return Rules(PipeSettings(home=self.home, packs=packs), clock=lambda: self.now)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Give a data folder."""
    return Site(tmp_path / "home")


def found(rules: Rules, prompt: str, user: str = "alice") -> set[str]:
    """Return which rules match a prompt."""
    event = Event(timestamp="", user=user, agent="", tool="", prompt=prompt, response="")
    return {finding.rule_id for finding in Scanner(rules.rule_set).scan(event).findings}


def test_a_site_pack_is_added_changed_and_taken_away(site: Site) -> None:
    """Each change of the folder is a rule set of its own, and without the folder it is the first one again."""
    rules = site.rules()
    first = rules.current
    site.write("packs/house.yaml", word_pack("kingfisher"))
    rules.refresh()
    second = rules.current

    assert found(rules, "walrus and kingfisher") == {"base-word", "site-word"}

    site.write("packs/house.yaml", word_pack("kingfisher", rule="base-word"))
    rules.refresh()

    assert found(rules, "walrus") == set()
    assert found(rules, "kingfisher") == {"base-word"}

    shutil.rmtree(site.home / "packs")
    rules.refresh()

    assert rules.rule_set.version == first.rule_set.version != second.rule_set.version


def test_what_did_not_change_is_not_loaded_again(site: Site) -> None:
    """The very same rules stay while no file changes."""
    rules = site.rules()
    before = rules.current
    rules.refresh()

    assert rules.current is before


def test_a_comment_changes_neither_the_digest_nor_its_age(site: Site) -> None:
    """Rules that mean the same have the digest they had, since the moment they had it."""
    rules = site.rules()
    before, site.now = rules.current, datetime(2026, 3, 2, tzinfo=UTC)
    site.write("replacing/base.yaml", "# ours\n" + word_pack("walrus", rule="base-word"))
    rules.refresh()

    assert rules.current is not before
    assert (rules.rule_set.version, rules.current.since) == (before.rule_set.version, before.since)


def test_a_folder_without_a_pack_yet_is_no_mistake(site: Site) -> None:
    """The folder may be made before the first pack is."""
    (site.home / "packs").mkdir()

    assert site.rules().current.faults == ()


def test_what_an_editor_leaves_beside_a_pack_is_none(site: Site) -> None:
    """A lock that leads nowhere, and what else is hidden, neither is a mistake nor empties the folder."""
    site.write("packs/._house.yaml", "\0\0")
    (site.home / "packs" / ".#house.yaml").symlink_to("jane@desk.123:456")

    assert site.rules().current.faults == ()

    site.write("packs/house.yaml", word_pack("kingfisher"))
    rules = site.rules()

    assert rules.current.faults == ()
    assert found(rules, "kingfisher") == {"site-word"}


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("packs/house.yaml", BROKEN),
        ("packs/house.yaml", "rules: ["),
        ("replacing/base.yaml", BROKEN),
        ("overrides.yaml", "overrides: [{rule: nobody, disabled: true, reason: x}]"),
    ],
)
def test_a_broken_file_leaves_the_rules_as_they_are(site: Site, name: str, broken: str) -> None:
    """The fault is named with its place, the rules in force stay, and the mended file is used."""
    site.write("packs/house.yaml", word_pack("kingfisher"))
    rules = site.rules()
    before = rules.current
    whole = (site.home / name).read_text() if (site.home / name).exists() else "overrides: []\n"
    site.write(name, broken)
    rules.refresh()

    assert rules.current == InForce(before.rule_set, before.since, rules.current.faults)
    assert {fault.at.file for fault in rules.current.faults} == {str(site.home / name)}

    site.write(name, whole)
    rules.refresh()

    assert rules.current.faults == ()


def test_a_start_with_a_broken_file_uses_what_worked_last(site: Site) -> None:
    """The copy of the data folder is used until the file is mended."""
    site.write("packs/house.yaml", word_pack("kingfisher"))
    site.write("overrides.yaml", "overrides: [{rule: base-word, disabled: true, reason: we like them}]")
    last = site.rules().rule_set.version
    site.write("packs/house.yaml", BROKEN)
    rules = site.rules()

    assert rules.rule_set.version == last
    assert rules.current.faults[0].at.file == str(site.home / "packs" / "house.yaml")
    assert found(rules, "walrus and kingfisher") == {"site-word"}


@pytest.mark.parametrize("copy", [None, b"", b"PK no archive"])
def test_a_start_without_a_copy_uses_the_shipped_rules(site: Site, copy: bytes | None) -> None:
    """A broken site pack does not keep anything from starting, and is told."""
    site.write("packs/house.yaml", BROKEN)
    if copy is not None:
        (site.home / "last-good-rules.zip").write_bytes(copy)
    rules = site.rules(replacing=False)

    assert rules.current.faults
    assert found(rules, "sudo") == {"keyword-sudo"}


def test_packs_in_place_of_the_shipped_ones_are_not_replaced_in_silence(site: Site) -> None:
    """Who asked for other rules than the shipped ones is not given those."""
    site.write("replacing/base.yaml", BROKEN)

    with pytest.raises(RuleErrors):
        site.rules()


def test_that_there_is_no_site_pack_is_kept_too(site: Site) -> None:
    """What was taken away on purpose does not come back with a fault."""
    site.write("packs/house.yaml", word_pack("kingfisher"))
    rules = site.rules()
    shutil.rmtree(site.home / "packs")
    rules.refresh()
    site.write("packs/other.yaml", BROKEN)

    assert found(site.rules(), "kingfisher") == set()


_EXCEPTION = """\
exceptions:
  - {rules: [base-word], where: {user: zoe}, owner: jane@example.com, reason: she keeps them, expires: 2026-03-01}
"""


def test_an_exception_ends_with_its_last_day(site: Site) -> None:
    """At midnight UTC the rules are loaded anew, and the exception holds no more."""
    site.write("overrides.yaml", _EXCEPTION)
    rules = site.rules()
    before = rules.current
    site.now = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
    rules.refresh()

    assert rules.current is before
    assert found(rules, "walrus", user="zoe") == set()

    site.now = datetime(2026, 3, 2, tzinfo=UTC)
    rules.refresh()

    assert found(rules, "walrus", user="zoe") == {"base-word"}
    assert rules.rule_set.version != before.rule_set.version


def test_an_exception_ends_even_while_a_file_is_broken(site: Site) -> None:
    """What worked last is judged by the day it is, not by the day it worked."""
    site.write("overrides.yaml", _EXCEPTION)
    rules = site.rules()
    site.write("overrides.yaml", "overrides: [")
    rules.refresh()

    assert found(rules, "walrus", user="zoe") == set()

    site.now = datetime(2026, 3, 2, tzinfo=UTC)
    rules.refresh()

    assert found(rules, "walrus", user="zoe") == {"base-word"}
    assert rules.current.faults


def test_a_data_folder_that_cannot_be_written_costs_only_the_copy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules are in force, and what is missing is said."""

    def refuse(**_: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with capture_logs() as said:
        rules = site.rules()

    assert found(rules, "walrus") == {"base-word"}
    assert "rules_not_kept" in {line["event"] for line in said}


def test_what_could_not_be_kept_is_not_given_up_for_an_older_copy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fault the process stays with what it has, newer than the copy, as long as it runs."""
    rules = site.rules()

    def refuse(_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr("pipeline.rule_files.RuleFiles.keep", refuse)
    site.write("packs/house.yaml", word_pack("kingfisher"))
    rules.refresh()
    site.write("packs/house.yaml", BROKEN)
    rules.refresh()

    assert found(rules, "kingfisher") == {"site-word"}


def test_a_process_behind_the_others_catches_up_with_what_they_kept(site: Site) -> None:
    """Rules that it never saw whole are those that it uses when they are broken by the time it looks."""
    late = site.rules()
    site.write("packs/house.yaml", word_pack("kingfisher"))
    site.rules()
    site.write("packs/house.yaml", BROKEN)
    late.refresh()

    assert found(late, "kingfisher") == {"site-word"}


def test_what_goes_wrong_in_loading_is_a_fault_like_any_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody thought of takes the running rules away as little as a mistake in a pack does."""
    rules = site.rules()
    before = rules.rule_set
    site.write("packs/house.yaml", word_pack("kingfisher"))

    def fail(*_: object, **__: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("detection.load_rule_set", fail)
    rules.refresh()

    assert rules.rule_set is before
    assert [str(fault) for fault in rules.current.faults] == [
        f"{site.home / 'packs'}:1:1: error[not-loaded]: RecursionError: too deep"
    ]


def test_who_stops_takes_back_what_it_told(site: Site) -> None:
    """The last that is told is that nothing is in force here any longer."""
    rules = site.rules()
    told: Queue[InForce | None] = Queue()
    rules.follow(told.put)
    first = told.get(timeout=10)
    rules.stop()

    assert first is rules.current
    assert list(told.queue)[-1] is None
