"""A gzip stream for each client, put together from pieces that are compressed once for everybody.

A piece is deflated on its own and closed by a full flush: it ends at a byte and refers to nothing
before it, so it may stand behind any other (RFC 1951, section 3.2.4). A decoder has all of a piece
as soon as it has its last byte, so events arrive as they are sent. What only one client gets is not
compressed but put into stored blocks. So a client costs no compressor, only a checksum and a count.
"""

import struct
import zlib

from wd_server.streaming.framing import chunk, content

# Of zlib's levels the one that saves most bytes a microsecond: of a page of 256 trades (200 KB) it
# leaves 24 % in 1.0 ms, level 6 leaves 21 % in 2.4 ms; of a single trade 62 % in 17 us, as all do.
LEVEL = 1
# Raw deflate with the usual window, without zlib's or gzip's own frame.
RAW = -zlib.MAX_WBITS

# RFC 1952, section 2.3: deflate, no flags, no time, compressed fast, on an unknown system.
HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
# The last block: final, with fixed codes, and nothing but its end.
LAST_BLOCK = b"\x03\x00"
# Bytes of one stored block: its length is a 16-bit number.
STORED_BYTES = 0xFFFF


def deflated(data: bytes) -> bytes:
    """`data` as deflate blocks that may stand behind any others."""
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, RAW)
    return compressor.compress(data) + compressor.flush(zlib.Z_FULL_FLUSH)


def stored(data: bytes) -> bytes:
    """`data` as blocks that aren't compressed: 5 bytes more for each STORED_BYTES."""
    blocks = []
    for start in range(0, len(data), STORED_BYTES):
        part = data[start : start + STORED_BYTES]
        blocks += [struct.pack("<xHH", len(part), len(part) ^ 0xFFFF), part]
    return b"".join(blocks)


class Frames:
    """Events for many streams, as a chunk of the body: as they are (`chunk`), and `deflated` from
    when the first stream wants that."""

    __slots__ = ("_deflated", "chunk")

    def __init__(self, plain: bytes) -> None:
        self.chunk = chunk(plain)
        self._deflated: bytes | None = None

    @property
    def plain(self) -> bytes:
        return content(self.chunk)

    @property
    def deflated(self) -> bytes:
        if self._deflated is None:
            self._deflated = chunk(deflated(self.plain))
        return self._deflated


class Gzip:
    """What a client's gzip stream ends with: strict decoders take one without for cut off. HEADER
    comes first; what the methods return goes out in the order of the calls, each a chunk."""

    __slots__ = ("_crc", "_size")

    def __init__(self) -> None:
        self._crc = 0
        self._size = 0

    def shared(self, frames: Frames) -> bytes:
        """What others get too."""
        self._count(frames.plain)
        return frames.deflated

    def private(self, data: bytes) -> bytes:
        """What only this client gets."""
        self._count(data)
        return chunk(stored(data))

    def end(self) -> bytes:
        return chunk(LAST_BLOCK + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _count(self, data: bytes) -> None:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
