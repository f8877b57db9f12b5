"""The alert worker's settings."""

from pathlib import Path

import pytest

from alerting.settings import AlertSettings


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"host": "192.0.2.7", "port": 9000}, "http://192.0.2.7:9000"),
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8000"),
        ({"host": "::1"}, "http://[::1]:8000"),
        ({"public_url": "https://sentinel.test/base/", "host": "::1"}, "https://sentinel.test/base"),
    ],
)
def test_links_begin_where_people_reach_the_dashboard(given: dict[str, object], base: str) -> None:
    """Links begin with the public URL, or else with where the dashboard listens."""
    assert base == AlertSettings.model_validate(given).link_base


def test_the_webhook_url_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The URL is a secret: it can be read from a file, and is not shown."""
    secret = tmp_path / "url"
    secret.write_text("https://example.test/t0p-s3cret\n", encoding="utf-8")
    monkeypatch.setenv("SENTINEL_ALERT_WEBHOOK_URL_FILE", str(secret))
    settings = AlertSettings()

    assert settings.alert_webhook_url is not None
    assert settings.alert_webhook_url.get_secret_value() == "https://example.test/t0p-s3cret"
    assert "t0p-s3cret" not in repr(settings)
