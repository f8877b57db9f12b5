"""Settings of the workers."""

from pydantic import Field

from pipeline.settings import Section


class WorkerSettings(Section):
    """How the workers split and sweep."""

    slice_seconds: float = Field(
        2.0, gt=0, le=3, description="Longest time an upload is split before others take turns."
    )
    sweep_limit: int = Field(1000, ge=10, description="Most entries of a lane that one sweep rings again.")
