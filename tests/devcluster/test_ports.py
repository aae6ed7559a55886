import os
import socket

import pytest

from devcluster.errors import PortTaken
from devcluster.ports import holder, require_free, reserved_port


def test_taken_port_names_itself_and_its_holder() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        with pytest.raises(PortTaken, match=rf"^port {port} \(the API server\) is taken by .+ \(pid {os.getpid()}\): stop it first$"):
            require_free(port, address="0.0.0.0", purpose="the API server")


def test_free_port_passes_and_stays_free() -> None:
    with reserved_port() as port:
        pass

    require_free(port, address="127.0.0.1", purpose="a test")
    require_free(port, address="127.0.0.1", purpose="a test")
    assert holder(port) is None


def test_reserved_port_is_refused_to_others_and_open_to_a_server_that_shares() -> None:
    with reserved_port() as port, socket.socket() as stranger, socket.socket() as ours, socket.socket() as client:
        with pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

        ours.bind(("127.0.0.1", port))
        ours.listen()

        client.settimeout(5)
        client.connect(("127.0.0.1", port))  # never lands on the reservation, which does not listen


def test_reservations_differ() -> None:
    with reserved_port() as one, reserved_port() as two:
        assert one != two
