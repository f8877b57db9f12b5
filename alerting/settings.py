"""What the alert worker can be told."""

from pydantic import Field, SecretStr

from pipeline.settings import Section

_EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, never bound


class AlertSettings(Section):
    """Where alerts go, and how the links in them begin."""

    alert_webhook_url: SecretStr | None = Field(
        None, description="Where every alert is posted as a CloudEvents 1.0 JSON event. Unset: nowhere."
    )
    alert_allow_private: bool = Field(
        default=False, description="Let the webhook reach loopback, private and link-local addresses."
    )
    alert_timeout_seconds: float = Field(
        5.0, gt=0, le=10, description="Time for one whole attempt at the webhook, name look-up and answer included."
    )
    alert_concurrency: int = Field(8, ge=1, le=64, description="Alerts that one worker process tells side by side.")
    public_url: str | None = Field(
        None, pattern="^(https?://|$)", description="How people reach the dashboard; links in alerts begin with it."
    )
    host: str = Field("127.0.0.1", description="Address that the API and the dashboard listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API and the dashboard listen on.")

    def link_base(self) -> str:
        """Return what links begin with, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = "127.0.0.1" if self.host in _EVERY_ADDRESS else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"
