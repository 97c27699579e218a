"""The socket that all workers share."""

from __future__ import annotations

import socket
import sys

import pytest

from actors.supervision.programs import listening, refuse
from tests.support.waiting import PATIENCE_SECONDS


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a listening socket cannot be shut down")
def test_once_connections_are_refused_nobody_waits_for_whoever_else_holds_the_socket() -> None:
    with listening("127.0.0.1", 0) as listener, listener.dup():
        place = listener.getsockname()
        with socket.create_connection(place, timeout=PATIENCE_SECONDS) as waiting:
            refuse(listener)
            with pytest.raises(ConnectionResetError):
                waiting.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, timeout=PATIENCE_SECONDS)
        refuse(listener)
