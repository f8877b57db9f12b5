"""What the launcher can be told."""

import ipaddress
import socket

from pydantic import Field

from pipeline.settings import Section

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - replaced, not bound


class LauncherSettings(Section):
    """Where the stack listens, and how large its own servers may grow."""

    host: str = Field("127.0.0.1", description="Address on which the API and the pages listen.")
    port: int = Field(8000, ge=1, le=65535, description="Port of the API and the pages.")
    flower_port: int = Field(5555, ge=1, le=65535, description="Port of Flower, on 127.0.0.1.")
    trust_network: bool = Field(
        default=False,
        description="Allow an address that others can reach although no API key exists: the network itself keeps "
        "strangers out.",
    )
    valkey_maxmemory: str = Field(
        "512mb",
        pattern=r"(?i)^[1-9][0-9]*(b|k|kb|m|mb|g|gb)?$",
        description="Memory that the Valkey started by the launcher may use.",
    )

    @property
    def own_host(self) -> str:
        """The address under which this machine reaches the API itself."""
        return _ANY.get(self.host, self.host)

    @property
    def url(self) -> str:
        """The address of the dashboard, as this machine reaches it."""
        host = self.own_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def flower_url(self) -> str:
        """The address of Flower, which is for this machine only."""
        return f"http://127.0.0.1:{self.flower_port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the API can be reached from this machine only."""
        try:
            found = socket.getaddrinfo(self.host or "0.0.0.0", self.port, type=socket.SOCK_STREAM)  # noqa: S104
        except OSError:
            return False
        return all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in found)
