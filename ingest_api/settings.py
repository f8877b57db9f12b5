"""Settings of the ingestion API."""

from pydantic import Field

from pipeline.settings import AddressSettings


class IngestSettings(AddressSettings):
    """The limits of what the API takes, and where it listens."""

    max_body_bytes: int = Field(
        10_000_000, ge=1000, description="Largest body of POST /api/events, as it is sent and as it is unpacked."
    )
    max_events: int = Field(10_000, ge=1, le=100_000, description="Most events in one POST /api/events.")
    max_upload_bytes: int = Field(2_147_483_648, ge=1000, description="Largest uploaded file.")
    max_pending_bytes: int = Field(
        64_000_000, ge=1_000_000, description="Bytes of posts that may wait for the journal before 503 is answered."
    )
    backlog_bytes: int = Field(
        32_000_000,
        ge=1_000_000,
        description="Bytes of posts that may wait in each lane to be judged before 503 is answered. While judging "
        "stands still, only SENTINEL_MEMORY_SHARE counts.",
    )
    max_ratio: int = Field(
        500, ge=10, description="Most bytes that each byte of a compressed body may unpack to, once there are 4 MB."
    )
    body_seconds: float = Field(
        10.0, gt=0, le=600, description="Seconds without a byte of a body after which 408 is answered."
    )
    rate_events: float = Field(
        0.0,
        ge=0,
        description="Events per second that one API key, or one address without keys, may post. 0: any number.",
    )
    rate_burst: int = Field(
        10_000,
        ge=1,
        description="Events that a key or an address may post at once after a pause, where there is a rate.",
    )
    idempotency_bytes: int = Field(
        64_000_000,
        ge=1_000_000,
        description="Bytes of Redis for the receipts of requests with an Idempotency-Key. The oldest go first.",
    )
