"""What the launcher can be told."""

import ipaddress
import socket

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

    @property
    def is_loopback(self) -> bool:
        """Whether the API can be reached from this machine only."""
        try:
            found = socket.getaddrinfo(self.host or "0.0.0.0", self.port, type=socket.SOCK_STREAM)  # noqa: S104
        except OSError:
            return False
        return all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in found)
