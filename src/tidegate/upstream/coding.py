"""Content codings that an upstream forces on us although ``identity`` was asked for (RFC 9110 §8.4)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["Decoder", "decoder_for"]

_ZLIB_HEAD: Final = 2
"""Bytes that tell zlib from raw deflate."""


class Decoder:
    """Incremental and bounded: a small input that grows a thousandfold comes out in steps.

    :param wbits: as zlib has it: 31 is gzip, 15 is deflate.
    """

    __slots__ = ("_fallback", "_first", "_raw", "complete")

    def __init__(self, wbits: int) -> None:
        self._raw = zlib.decompressobj(wbits)
        # "deflate" is zlib by the RFC and raw deflate by some servers: the first bytes decide.
        self._fallback = wbits == zlib.MAX_WBITS
        self._first = b""
        self.complete = False
        """The coded body has ended."""

    def decode(self, data: bytes, step: int) -> Iterator[bytes]:
        """The decoded bytes, none of the pieces longer than ``step``.

        :raises ValueError: not that coding.
        """
        if self._fallback:
            data = self._first + data
            if len(data) < _ZLIB_HEAD:
                self._first = data
                return
        more = bool(data)
        while more:
            if self.complete:
                raise ValueError("bytes after the end of the coded body")
            try:
                piece = self._raw.decompress(data, step)
            except zlib.error:
                if not self._fallback:
                    raise ValueError("not the coding that was announced") from None
                self._raw = zlib.decompressobj(-zlib.MAX_WBITS)
                self._fallback = False
                continue
            self._fallback = False
            data = self._raw.unconsumed_tail
            # A full step may leave output behind although all input was taken.
            more = bool(data) or len(piece) == step
            if self._raw.eof:
                self.complete = True
                data = self._raw.unused_data
                more = bool(data)
            if piece:
                yield piece


def decoder_for(coding: bytes) -> Decoder | None:
    """A decoder for a ``content-encoding``; ``None`` for one that we do not speak."""
    if coding in (b"gzip", b"x-gzip"):
        return Decoder(16 + zlib.MAX_WBITS)
    if coding == b"deflate":
        return Decoder(zlib.MAX_WBITS)
    return None
