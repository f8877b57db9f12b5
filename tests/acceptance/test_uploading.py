"""A file is uploaded, worked through in the background, and what was refused comes back to be corrected."""

import json

import pytest

from tests.acceptance.calling import event, finished_upload, get, upload
from tests.integration.deploy.running import Stack


def test_a_file_is_judged_and_counted(up: Stack) -> None:
    """
    The status reaches done with the counts of the file, and its events are found by the upload.
    """
    events = [event(tool="os_shell" if number % 10 == 0 else "web_search") for number in range(1_200)]
    taken = upload(up.port, json.dumps(events).encode())
    assert taken.status == 202

    status = finished_upload(up, taken.json["status_url"])
    wanted = {"state": "done", "accepted": 1_200, "rejected": 0, "judged": 1_200, "flagged": 120, "duplicates": 0}
    assert {name: status[name] for name in wanted} == wanted
    assert status["bytes_read"] == status["bytes_total"]
    page = get(up, f"/api/verdicts?upload_id={taken.json['upload_id']}&outcome=flagged&limit=1000").json
    assert len(page["items"]) == 120


@pytest.mark.parametrize("indent", [None, 2])
def test_a_single_object_is_a_file_too(up: Stack, indent: int | None) -> None:
    """
    The page's single event, pretty or not.
    """
    taken = upload(up.port, json.dumps(event(tool="os_shell"), indent=indent).encode())
    status = finished_upload(up, taken.json["status_url"])

    assert (status["state"], status["judged"], status["flagged"]) == ("done", 1, 1)


def test_rejected_records_come_back_and_are_taken_once_corrected(up: Stack) -> None:
    """
    The rejected.json of an upload uploads as it is after the missing field was put in.
    """
    broken = event()
    del broken["prompt"]
    first = upload(up.port, json.dumps([event(), broken, event(), broken]).encode())
    status = finished_upload(up, first.json["status_url"])
    assert (status["state"], status["accepted"], status["rejected"]) == ("done", 2, 2)
    rejections = get(up, f"{first.json['status_url']}/rejections").json
    listed = rejections["items"] if isinstance(rejections, dict) else rejections
    assert [(found["index"], found["pointer"], found["code"]) for found in listed] == [
        (1, "/prompt", "missing"),
        (3, "/prompt", "missing"),
    ]

    returned = get(up, f"{first.json['status_url']}/rejected.json").json
    assert returned == [broken, broken]
    second = upload(up.port, json.dumps([{**record, "prompt": "Corrected"} for record in returned]).encode())
    status = finished_upload(up, second.json["status_url"])
    assert (status["state"], status["accepted"], status["rejected"], status["judged"]) == ("done", 2, 0, 2)


def test_a_file_that_breaks_off_keeps_what_came_before(up: Stack) -> None:
    """
    It fails with the byte of the fault; the whole records before it are judged.
    """
    content = json.dumps([event(), event()]).encode()[:-20]
    taken = upload(up.port, content)
    status = finished_upload(up, taken.json["status_url"])

    assert (status["state"], status["accepted"]) == ("failed", 1)
    assert str(len(content)) in status["error"]


def test_another_kind_of_file_is_refused(up: Stack) -> None:
    """
    Only .json files are taken, and only what begins as JSON does.
    """
    assert upload(up.port, b"a,b\n1,2\n", name="events.csv").status == 415
    assert upload(up.port, b"<html></html>").status == 415
