"""Ends a wait of one thread from any other."""

from __future__ import annotations

import socket
import threading


class Waker:
    """Ends the wait of its owner's thread; `wake` may be called from any thread.

    It needs descriptors only between `open` and `close`, while the owner
    polls sockets. Making one and waiting with `wait` therefore cannot fail, also where
    the process has no descriptor left.

    The condition's lock guards all that is here and is held for no other call.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._woken = False
        self._descriptors: tuple[socket.socket, socket.socket] | None = None

    def open(self) -> None:
        """Create the descriptor that `fileno` returns. Raises `OSError`."""
        with self._condition:
            if self._descriptors is not None:
                return
            self._descriptors = socket.socketpair()
            for descriptor in self._descriptors:
                descriptor.setblocking(False)
            if self._woken:
                self._descriptors[1].send(b"\0")

    def fileno(self) -> int:
        """Return the descriptor that becomes readable; -1 while there is none."""
        descriptors = self._descriptors
        return -1 if descriptors is None else descriptors[0].fileno()

    def wake(self) -> None:
        """End the wait under way, or the next one."""
        with self._condition:
            if self._woken:
                return
            self._woken = True
            self._condition.notify_all()
            if self._descriptors is not None:
                self._descriptors[1].send(b"\0")

    def clear(self) -> None:
        """Forget the wakes so far."""
        with self._condition:
            if self._woken and self._descriptors is not None:
                self._descriptors[0].recv(1)
            self._woken = False

    def wait(self, seconds: float) -> None:
        """Wait until woken, at most `seconds`."""
        with self._condition:
            self._condition.wait_for(lambda: self._woken, max(0.0, seconds))
        self.clear()

    def close(self) -> None:
        """Free the descriptors."""
        with self._condition:
            if self._descriptors is not None:
                for descriptor in self._descriptors:
                    descriptor.close()
                self._descriptors = None
