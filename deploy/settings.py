"""What the launcher can be told."""

from pydantic import Field

from pipeline.settings import AddressSettings


class LauncherSettings(AddressSettings):
    """Where the stack listens, and how large its own servers may grow."""

    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower, on 127.0.0.1.")
    valkey_maxmemory: str = Field(
        "512mb",
        pattern=r"(?i)^[1-9][0-9]*(b|k|kb|m|mb|g|gb)?$",
        description="Memory that the Valkey started by the launcher may use.",
    )

    @property
    def flower_url(self) -> str:
        """The address of Flower, as this machine reaches it."""
        return f"http://127.0.0.1:{self.flower_port}"
