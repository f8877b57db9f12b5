"""Connecting to an address that somebody else chose: looked up once, checked, and used as it was checked.

The check is made where the connection is made, so nothing can be reached that was not checked, and a name that answers
differently the second time (DNS rebinding) gains nothing. Everything here ends at one moment, however slowly the other
side drips its bytes.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from queue import Empty, SimpleQueue

import httpcore2

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_NEVER_PUBLIC = (
    # Python before 3.13 calls some of these global.
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    IPv6Network("2001::/23"),
    IPv6Network("3fff::/20"),
)
_LEAST_PER_ADDRESS = 0.5

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)  # httpcore2 keeps this name to itself


class AddressRefused(Exception):
    """The name leads to an address that must not be reached from here."""


class NameNotFound(Exception):
    """The name could not be looked up."""


def is_allowed(address: str, *, allow_private: bool) -> bool:
    """Say whether a connection to an address may be made.

    Args:
        address: as ``getaddrinfo`` returns it.
        allow_private: whether loopback, private and link-local addresses are allowed too.
    """
    found = _embedded(ipaddress.ip_address(address.partition("%")[0]))
    if found.is_multicast or found.is_unspecified:
        return False
    if allow_private:
        return True
    # What Python calls "private" includes loopback, link-local, documentation and reserved ranges.
    if not found.is_global or found.is_reserved or found.is_link_local:
        return False
    if any(found.version == network.version and found in network for network in _NEVER_PUBLIC):
        return False
    return isinstance(found, IPv4Address) or found in _GLOBAL_UNICAST


def _embedded(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address leads to in the end, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64 or address in _NAT64_LOCAL:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class Dialer(httpcore2.NetworkBackend):
    """Makes the connections of one attempt: only to allowed addresses, and only until the attempt's end."""

    def __init__(self, *, allow_private: bool, ends: float) -> None:
        self._allow_private = allow_private
        self._ends = ends
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the attempt's own end is nearer
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of ``host`` that answers.

        Raises:
            AddressRefused: one of its addresses is off limits.
            NameNotFound: it has none.
        """
        addresses = self._look_up(host, port)
        refused = [address for address in addresses if not is_allowed(address, allow_private=self._allow_private)]
        if refused:
            message = f"the address {refused[0]} is private or reserved (SENTINEL_ALERT_ALLOW_PRIVATE=1 permits it)"
            raise AddressRefused(message)
        failure: Exception = NameNotFound("the host name has no address")
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = max(_LEAST_PER_ADDRESS, remaining(self._ends) / left)
            try:
                stream = self._sockets.connect_tcp(
                    address, port, min(share, remaining(self._ends)), local_address, socket_options
                )
            except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
                failure = error
            else:
                return _EndingStream(stream, self._ends)
        raise failure

    def _look_up(self, host: str, port: int) -> list[str]:
        # The system's look-up cannot be told how long it may take, so it is left behind when it takes too long.
        answer: SimpleQueue[list[str] | Exception] = SimpleQueue()
        threading.Thread(target=_resolve, args=(host, port, answer), name="look-up", daemon=True).start()
        try:
            found = answer.get(timeout=remaining(self._ends))
        except Empty:
            message = "the host name was not found in time"
            raise NameNotFound(message) from None
        if isinstance(found, Exception):
            message = "the host name was not found"
            raise NameNotFound(message) from found
        return found


def _resolve(host: str, port: int, answer: SimpleQueue[list[str] | Exception]) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        answer.put(error)
    else:
        answer.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))


def remaining(ends: float) -> float:
    """Return the seconds until ``ends`` on the monotonic clock.

    Raises:
        httpcore2.ReadTimeout: there are none.
    """
    left = ends - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout
    return left


class _EndingStream(httpcore2.NetworkStream):
    """A stream whose every operation shares one end."""

    def __init__(self, stream: httpcore2.NetworkStream, ends: float) -> None:
        self._stream = stream
        self._ends = ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        return self._stream.read(max_bytes, remaining(self._ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stream.write(buffer, remaining(self._ends))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        return _EndingStream(self._stream.start_tls(ssl_context, server_hostname, remaining(self._ends)), self._ends)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
