"""TCP ports on the loopback interface."""

import random
import socket
import time
from collections.abc import Callable

HOST = "127.0.0.1"

BELOW_EPHEMERAL = range(15_000, 30_000)

_given: set[int] = set()


def free_port() -> int:
    """Return a port that is free now, and each port only once.

    The port is outside the system's range for outgoing connections: otherwise one of
    those may take it before the program listens on it.
    """
    while True:
        port = random.choice(BELOW_EPHEMERAL)  # noqa: S311  # no secret
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def is_free(port: int) -> bool:
    """Return whether a program could listen on this port now."""
    with socket.socket() as probe:
        # Servers set this too: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def wait_until_open(
    port: int, still_running: Callable[[], bool], seconds: float = 30.0
) -> None:
    """Return once the port accepts connections.

    Raises TimeoutError after `seconds`, ChildProcessError if `still_running` is False.
    """
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        if not still_running():
            raise ChildProcessError(f"the program for port {port} has ended")
        if time.monotonic() > deadline:
            raise TimeoutError(f"port {port} is not open after {seconds:g} s")
        time.sleep(0.02)
