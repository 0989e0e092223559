"""A body in chunks (RFC 9112, section 7.1), read strictly as the server writes it."""

import re

_SIZE_LINE = re.compile(rb"([0-9a-f]{1,8})\r\n")
_END = b"\r\n"


class Chunks:
    """`ended`: the last chunk came, so the server ended the body and nothing cut it off."""

    def __init__(self) -> None:
        self.ended = False
        self._rest = b""
        # Bytes of the chunk's content that are to come, None between two chunks.
        self._left: int | None = None
        self._is_last = False

    def feed(self, data: bytes) -> bytes:
        """What is there of the content."""
        self._rest += data
        content = []
        while self._rest and (self._left is not None or self._begin()):
            assert self._left is not None
            part, self._rest = self._rest[: self._left], self._rest[self._left :]
            content.append(part)
            self._left -= len(part)
            if self._left or len(self._rest) < len(_END):
                break
            assert self._rest.startswith(_END), f"longer than its chunk: {self._rest[:80]!r}"
            self._rest, self._left = self._rest[len(_END) :], None
            self.ended = self._is_last
        return b"".join(content)

    def _begin(self) -> bool:
        """Read the line with the size, if it is whole."""
        assert not self.ended, f"behind the last chunk: {self._rest[:80]!r}"
        line = _SIZE_LINE.match(self._rest)
        if line is None:
            assert b"\n" not in self._rest, f"no size of a chunk: {self._rest[:80]!r}"
            return False
        self._rest = self._rest[line.end() :]
        self._left = int(line[1], 16)
        self._is_last = not self._left
        return True


def unchunked(body: bytes) -> bytes:
    """The content of a body that the server ended."""
    chunks = Chunks()
    content = chunks.feed(body)
    assert chunks.ended, f"cut off: {body[-80:]!r}"
    return content
