"""TCP ports on the loopback interface."""

import random
import socket
import time
from collections.abc import Callable

HOST = "127.0.0.1"

BELOW_EPHEMERAL = range(15_000, 30_000)

_given: set[int] = set()


def free_port() -> int:
    """Give a port that nobody listens on at this moment, and each only once.

    Not one that the system would give: until somebody listens there, seconds later, it
    may have given it to an outgoing connection.
    """
    while True:
        port = random.choice(BELOW_EPHEMERAL)  # noqa: S311  # no secret
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a program could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def wait_until_open(
    port: int, still_running: Callable[[], bool], seconds: float = 30.0
) -> None:
    """Return once somebody listens on the port.

    Raises TimeoutError after `seconds`, ChildProcessError when `still_running` says no.
    """
    deadline = time.monotonic() + seconds
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        if not still_running():
            raise ChildProcessError(f"what should open port {port} has ended")
        if time.monotonic() > deadline:
            raise TimeoutError(f"port {port} is not open after {seconds:g} s")
        time.sleep(0.02)
