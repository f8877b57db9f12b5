"""What the alert worker can be told."""

from pydantic import Field, SecretStr

from pipeline.settings import AddressSettings


class AlertSettings(AddressSettings):
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
    alert_concurrency: int = Field(
        8, ge=1, le=64, description="Posts to the webhook that one worker process has under way."
    )
