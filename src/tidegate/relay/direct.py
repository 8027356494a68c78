"""The reader's socket, for who may write to it past the downstream's own calls."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["Direct"]


class Direct:
    """A socket that takes whole chunks.

    :param descriptor: of the socket; whose it is, ``transport`` knows (``is_closing``).
    :param transport: takes what the socket does not (``write``).
    """

    __slots__ = ("behind", "descriptor", "transport")

    def __init__(self, descriptor: int, transport: Any) -> None:
        self.descriptor = descriptor
        self.transport = transport
        self.behind = True
        """Something may be queued in the transport, and has to go first: only its ``get_write_buffer_size`` knows.
        Whoever gives the transport something to write sets this, and who finds the queue empty takes it back.
        """

    def send(self, data: bytes) -> None:
        """Write now, and leave to the transport what the socket does not take.

        Only while nothing is :attr:`behind` and the transport is not closing: a descriptor that was given back may be
        somebody else's by now.
        """
        try:
            sent = os.write(self.descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.transport.abort()
            return
        if sent < len(data):
            self.behind = True
            self.transport.write(data[sent:])
