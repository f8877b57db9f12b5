"""The socket that the launcher keeps for the API."""

import socket

from deploy import ports


def test_no_answer_waits_for_the_clients_acknowledgment() -> None:
    """
    Every connection sends what it has at once, whatever the server behind the socket takes it for.
    """
    with ports.listen(0, "127.0.0.1") as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
