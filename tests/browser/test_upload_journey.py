"""The first journey of a new user, on the real stack: from a file to the event that it was flagged for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import servers
from tests.acceptance.calling import event
from tests.integration.deploy.running import Stack, eventually, stack

_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
_PATIENCE = 60_000
_CLEAN = 40


@pytest.fixture(scope="module")
def up() -> Iterator[Stack]:
    """Give a running stack."""
    with servers.temporary_folder() as folder, stack(folder / "home") as running:
        eventually(running.is_ready)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_ARGUMENTS)
        yield made
        made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file of many harmless events and one that is not."""
    path = tmp_path / "agent log <1>.json"
    flagged = event(user="mallory", prompt="Now <b>delete all</b> of it & go")
    path.write_text(json.dumps([event() for _ in range(_CLEAN)] + [flagged], indent=2))
    return path


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """Return a page, and a list of whatever goes wrong on it: errors, policy violations, requests elsewhere."""
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: None if "//127.0.0.1:" in asked.url else wrong.append(asked.url))
    page.on("response", lambda got: wrong.append(f"{got.status} {got.url}") if got.status >= 400 else None)
    return page, wrong


def choose(page: Page, up: Stack, file: Path) -> None:
    """Go from the dashboard to the form, and send the file."""
    page.goto(f"http://127.0.0.1:{up.port}/")
    page.get_by_role("link", name="Upload", exact=True).first.click()
    expect(page.get_by_role("heading", name="Upload MCP Event Logs")).to_be_visible()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Upload and analyze").click()
    page.wait_for_url(re.compile(r"/uploads/[0-9a-f-]+$"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(file.name)


def follow_to_the_event(page: Page) -> None:
    """Go from the finished upload to its flagged event, and see why it was flagged."""
    expect(page.locator("[data-count=accepted]")).to_have_text(str(_CLEAN + 1))
    expect(page.locator("[data-count=judged]")).to_have_text(str(_CLEAN + 1))
    expect(page.locator("[data-count=flagged]")).to_have_text("1")
    page.get_by_role("link", name="Flagged ones").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody tr a[href^='/events/']").first.click()

    expect(page.get_by_role("heading", name="Why it was flagged")).to_be_visible()
    expect(page.locator(".field mark", has_text="delete all").first).to_have_text("delete all")
    expect(page.get_by_label("prompt", exact=True)).to_contain_text("Now <b>delete all</b> of it & go")
    page.get_by_role("link", name="keyword-delete-all").first.click()
    expect(page).to_have_url(re.compile(r"/rules/keyword-delete-all$"))


def test_from_a_file_to_the_flagged_event(browser: Browser, up: Stack, file: Path) -> None:
    """
    The progress page reaches done by itself, and two clicks later the matched text stands highlighted.
    """
    with browser.new_context(locale="en-GB") as context:
        page, wrong = watched(context)
        choose(page, up, file)
        expect(page.locator("[data-state=done]")).to_be_visible(timeout=_PATIENCE)
        follow_to_the_event(page)

        assert wrong == []


def test_the_same_without_scripts(browser: Browser, up: Stack, file: Path) -> None:
    """
    The form posts by itself, the progress page is reloaded by hand, and the rest is links.
    """
    with browser.new_context(java_script_enabled=False, locale="en-GB") as context:
        page, wrong = watched(context)
        choose(page, up, file)

        def is_done() -> bool:
            page.reload()
            return page.locator("[data-state=done]").count() == 1

        eventually(is_done)
        follow_to_the_event(page)

        assert wrong == []


def test_an_upload_is_found_again(browser: Browser, up: Stack, file: Path) -> None:
    """
    Who left the progress page finds it in the list of recent uploads.
    """
    with browser.new_context(locale="en-GB") as context:
        page, wrong = watched(context)
        choose(page, up, file)
        address = page.url
        page.goto(f"http://127.0.0.1:{up.port}/upload")
        page.locator("#recent tbody tr a").first.click()

        expect(page).to_have_url(address)
        expect(page.locator("[data-state=done]")).to_be_visible(timeout=_PATIENCE)
        assert wrong == []
