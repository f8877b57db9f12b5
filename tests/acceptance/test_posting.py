"""Events are posted as the user's page says, and come back as verdicts and alerts."""

import html
import re
import subprocess

from tests.acceptance.calling import event, get, judged, post, verdict
from tests.acceptance.conftest import Installation
from tests.integration.deploy.running import Stack, eventually


def curl_call(up: Stack) -> str:
    """Return the cURL call that the upload page shows."""
    page = get(up, "/upload").body.decode()
    found = re.search(r'aria-label="cURL call"><code>(.*?)</code>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_the_curl_call_of_the_page_works_as_it_is_printed(up: Stack) -> None:
    """
    Pasted into a shell, it is answered with a receipt, and the event gets its verdict.
    """
    printed = curl_call(up)
    ran = subprocess.run(["/bin/sh", "-c", f"{printed} -s -w '%{{http_code}}'"], check=True, capture_output=True)

    receipt, status = ran.stdout[:-3].decode(), ran.stdout[-3:]
    assert status == b"202", receipt
    (event_id,) = re.findall(r'"event_ids":\["([^"]+)"\]', receipt)
    found = verdict(up, event_id)
    assert found["outcome"] == "clean"
    assert found["event"]["prompt"] == "Search for information"
    assert printed.startswith(f"curl -X POST http://127.0.0.1:{up.port}/api/events \\\n")
    assert printed in up.said()


def test_an_array_gets_a_verdict_for_each_event(up: Stack) -> None:
    """
    The page's array of two: the search is clean, the call of os_shell is flagged, and the batch knows of both.
    """
    answer = post(up, [event(user="alice"), event(user="bob", agent="AssistantBot", tool="os_shell")])
    assert answer.json["accepted"] == 2

    clean, flagged = (verdict(up, event_id) for event_id in answer.json["event_ids"])
    assert (clean["outcome"], clean["event"]["user"]) == ("clean", "alice")
    assert (flagged["outcome"], flagged["event"]["user"], flagged["severity"]) == ("flagged", "bob", "high")
    batch = get(up, answer.headers["location"]).json
    assert (batch["state"], batch["judged"], batch["flagged"]) == ("done", 2, 1)


def test_an_array_with_one_bad_record_is_accepted_but_for_it(up: Stack) -> None:
    """
    The good record is judged; the bad one comes back with its place and its reason.
    """
    answer = post(up, [event(), {"user": "bob"}])

    assert (answer.status, answer.headers["sentinel-rejected"]) == (202, "1")
    assert answer.json["event_ids"][1] is None
    assert {error["index"] for error in answer.json["errors"]} == {1}
    assert verdict(up, answer.json["event_ids"][0])["outcome"] == "clean"


def test_a_flagged_event_reaches_the_webhook_the_console_and_the_list(installation: Installation) -> None:
    """
    One CloudEvents event, one ALERT line and one entry of the alert list tell of it, all under one id.
    """
    up, listener = installation.up, installation.listener
    (found,) = judged(up, event(tool="os_shell", user="mallory"))
    eventually(lambda: [post for post in listener.posts if post.event["data"]["event_id"] == found["event_id"]])
    told = next(post.event for post in listener.posts if post.event["data"]["event_id"] == found["event_id"])

    assert told["specversion"] == "1.0"
    assert (told["data"]["severity"], told["data"]["rule_ids"]) == ("high", ["dangerous-tool"])
    assert told["data"]["url"] == f"http://127.0.0.1:{up.port}/events/{found['event_id']}"
    alert = get(up, f"/api/alerts/{told['id']}").json
    assert alert["event_id"] == found["event_id"]
    eventually(lambda: re.search(rf"^.*ALERT high .*mallory.*{told['id']}$", up.said(), re.MULTILINE))


def test_a_receipt_says_that_an_event_was_looked_at(up: Stack) -> None:
    """
    It tells when, and by which rule set; of an event that never was it knows nothing.
    """
    (found,) = judged(up, event())
    receipt = get(up, f"/api/receipts/{found['event_id']}").json

    assert (receipt["state"], receipt["rule_set"]) == ("judged", found["rule_set"])
    assert get(up, f"/api/receipts/{'0' * 32}.0").status == 404
