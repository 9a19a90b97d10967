"""A connection that ends when its time is up, whatever it does: a drip of bytes does not keep it alive."""

from __future__ import annotations

import contextlib
import socket
import threading


class Deadline:
    """Shuts the connection of `connected` down after `seconds`; whoever reads or writes then gets an error.

    It works on a duplicate of the socket, so TLS may be put on the connection afterwards. `struck` says that
    the time was up. Always cancel().
    """

    def __init__(self, connected: socket.socket, seconds: float) -> None:
        self.struck = False
        self._own = connected.dup()
        self._timer = threading.Timer(max(0.0, seconds), self._strike)
        self._timer.daemon = True
        self._timer.start()

    def _strike(self) -> None:
        self.struck = True
        with contextlib.suppress(OSError):  # it is closed already
            self._own.shutdown(socket.SHUT_RDWR)

    def cancel(self) -> None:
        """The work is done, or has failed by itself."""
        self._timer.cancel()
        self._timer.join()
        self._own.close()
