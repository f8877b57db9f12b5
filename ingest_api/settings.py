"""Settings of the ingestion API."""

from pydantic import Field

from pipeline.settings import Section


class IngestSettings(Section):
    """Where the API listens, and the limits of what it takes."""

    host: str = Field("127.0.0.1", description="Address to listen on. Another than loopback needs an API key first.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API and the dashboard.")
    public_url: str | None = Field(None, description="Address under which people reach the dashboard; used in links.")
    trust_network: bool = Field(
        default=False, description="Allow a non-loopback address without API keys: the network keeps strangers out."
    )
    max_body_bytes: int = Field(10_000_000, ge=1000, description="Largest body of POST /api/events.")
    max_events: int = Field(10_000, ge=1, le=100_000, description="Most events in one POST /api/events.")
    max_upload_bytes: int = Field(2_147_483_648, ge=1000, description="Largest uploaded file.")
    max_pending_bytes: int = Field(
        64_000_000, ge=1_000_000, description="Bytes of posts that may wait for the journal before 503 is answered."
    )
    accept_seconds: float = Field(
        1.6, gt=0.1, le=1.8, description="Longest wait for the journal before a post is answered with 503."
    )
