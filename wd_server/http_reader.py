"""Requests out of the bytes of one connection, one after the other. No I/O.

llhttp reads them, in C and in time linear in their length, with every leniency off. It calls back
for each part of a request and doesn't stop at a request's end, so the reader hands it pieces that
end at the latest where a request may end:

    GET /a HTTP/1.1 CRLF Host: x CRLF CRLF | POST /b HTTP/1.1 CRLF … CRLF CRLF | 5 bytes of body |
                                           ^ an empty line                     ^ Content-Length

A head ends with its first empty line, and so do chunks, with or without a trailer. What stands
behind the end of a request waits in the reader until the request is answered (`renew`). So there is
one request at a time, however many a client sends at once.

Three things are not left to llhttp. It knows a fixed list of methods, and HTTP has any token: the
reader takes the method itself and gives llhttp a common one. It leaves the body of a request for an
upgrade to the new protocol, and this server speaks none: llhttp is told of the body again, without
the upgrade. And where llhttp takes what RFC 9112 only allows, the reader refuses.
"""

import re
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

# Bytes of a head. Browsers send 1 to 2 KB; a token in it adds up to 4.
HEAD_BYTES = 16 * 1024
# Header fields of a head. Browsers send 20, proxies add 10.
HEAD_FIELDS = 100
# Bytes that an empty line in a chunked body counts for: llhttp is called for each. JSON has none.
EMPTY_LINE_COST = 32
# Bytes of a method. The longest that IANA lists has 16.
METHOD_BYTES = 32

_LINE_ENDS = re.compile(rb"[\r\n]*")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]*")
# What llhttp is given for each method. With GET, POST or OPTIONS it would take RTSP for HTTP.
_COMMON_METHOD: Final = b"PUT "
_EMPTY_LINE: Final = b"\r\n\r\n"
_SPACE: Final = ord(" ")


class RequestRefused(Exception):
    """What was sent is no request that is read here. `status` is what to answer."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class RequestHead(NamedTuple):
    """`fields` as they came, without the white space around values. `keep_alive`: the client goes
    on behind the answer. `expects`: it sends no body before it is told to go on."""

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    keep_alive: bool
    expects: bool


class Reader:
    """`whole`: the present request has been read to its end."""

    __slots__ = (
        "_at",
        "_body",
        "_body_left",
        "_body_most",
        "_body_size",
        "_data",
        "_expects",
        "_fields",
        "_framed_left",
        "_head_read",
        "_head_whole",
        "_keep_alive",
        "_method",
        "_method_whole",
        "_parser",
        "_repeating",
        "_tail",
        "_target",
        "_trailer",
        "_transfer_coding",
        "_version",
        "whole",
    )

    def __init__(self) -> None:
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        # Bytes that have arrived, and how many of them are read.
        self._data, self._at = b"", 0
        self.renew()

    def renew(self) -> None:
        """Go on to the next request."""
        self.whole = False
        self._method, self._method_whole = b"", False
        self._target: list[bytes] = []
        self._fields: list[tuple[str, str]] = []
        self._version = ""
        self._head_whole = self._keep_alive = self._expects = False
        # Bytes of the head so far, and the last three that llhttp was given.
        self._head_read, self._tail = 0, b""
        self._transfer_coding: str | None = None
        # Bytes of the body that are to come, None where chunks say that.
        self._body_left: int | None = 0
        self._body: list[bytes] = []
        self._body_size = self._body_most = self._framed_left = 0
        self._trailer = self._repeating = False

    @property
    def begun(self) -> bool:
        """Whether a part of the present request has been read."""
        return bool(self._method)

    @property
    def unread(self) -> int:
        """Bytes that have arrived and are not read yet."""
        return len(self._data) - self._at

    def add(self, data: bytes) -> None:
        self._data = self._data[self._at :] + data if self.unread else data
        self._at = 0

    def drop(self) -> None:
        """Forget what is unread."""
        self._data, self._at = b"", 0

    def close(self) -> None:
        """Read no more. llhttp and this reader refer to each other, and that ends here."""
        self.drop()
        self._parser = None

    def head(self) -> RequestHead | None:
        """The request's head, or None until all of it has arrived. Raises Refused."""
        while self.unread and not self._head_whole:
            if self._head_read >= HEAD_BYTES:
                raise self._too_large_head()
            if self._method_whole:
                self._read_head()
            else:
                self._read_method()
        return self._checked_head() if self._head_whole else None

    def body(self, most: int) -> bytes:
        """What has arrived of the body, which may have `most` bytes. Raises Refused."""
        if self._body_left is not None and self._body_size + self._body_left > most:
            raise RequestRefused(413, "a larger body is announced than may be sent")
        if self._body_most != most:
            # Framing may take as much as a body, so that chunks may be small.
            self._body_most, self._framed_left = most, 2 * most
        while self.unread and not self.whole:
            self._read_body()
        body, self._body = self._body, []
        return body[0] if len(body) == 1 else b"".join(body)

    # What llhttp tells.

    def on_url(self, part: bytes) -> None:
        if not self._repeating:
            self._target.append(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_whole:
            text = value.decode("latin-1").rstrip(" \t")
            self._fields.append((name.decode("ascii"), text))
        elif not self._repeating:
            self._trailer = True

    def on_headers_complete(self) -> None:
        if self._repeating:
            return
        assert self._parser is not None
        named = {name.lower(): value for name, value in self._fields}
        self._head_whole = True
        self._version = self._parser.get_http_version()
        self._keep_alive = self._parser.should_keep_alive()
        expects = named.get("expect", "").lower() == "100-continue"
        self._expects = expects and self._version == "1.1"
        codings = [value for name, value in self._fields if name.lower() == "transfer-encoding"]
        self._transfer_coding = ", ".join(codings) if codings else None
        if self._transfer_coding is not None:
            self._body_left = None
        else:
            self._body_left = int(named.get("content-length", 0))

    def on_body(self, part: bytes) -> None:
        self._body.append(part)
        self._body_size += len(part)

    def on_message_complete(self) -> None:
        self.whole = True

    # Its own ways.

    def _read_method(self) -> None:
        if not self._method and self._data[self._at] in b"\r\n":  # RFC 9112, section 2.2
            self._take(_found(_LINE_ENDS, self._data, self._at, HEAD_BYTES))
            return
        room = METHOD_BYTES - len(self._method)
        self._method += self._take(_found(_TOKEN, self._data, self._at, room))
        if not self.unread:
            return
        if not self._method or self._data[self._at] != _SPACE:
            raise RequestRefused(400, "the method is no token, or too long")
        self._take(1)
        self._method_whole = True

    def _read_head(self) -> None:
        first = not self._tail
        if first and self._data[self._at] == _SPACE:
            raise RequestRefused(400, "two spaces stand behind the method")
        piece = self._take(self._to_empty_line(HEAD_BYTES - self._head_read))
        self._tell(_COMMON_METHOD + piece if first else piece)

    def _read_body(self) -> None:
        if self._body_left is not None:
            size = min(self._body_left, self.unread)
            self._body_left -= size
        elif self._framed_left > 0:
            size = self._to_empty_line(self._framed_left)
            self._framed_left -= size
        else:
            raise RequestRefused(413, "the chunks are too small for their number")
        piece = self._take(size)
        if self._body_left is None and (self._tail + piece).endswith(_EMPTY_LINE):
            self._framed_left -= EMPTY_LINE_COST
        self._tell(piece)

    def _take(self, size: int) -> bytes:
        """The next bytes, which are read by that."""
        start, self._at = self._at, self._at + size
        if not self._head_whole:
            self._head_read += size
        return self._data[start : self._at]

    def _to_empty_line(self, most: int) -> int:
        """Bytes to the end of the next empty line, or of what is there; at most `most`. The line
        may have begun in what was read before."""
        start = self._at
        begun = (self._tail + self._data[start : start + 3]).find(_EMPTY_LINE)
        if begun >= 0:
            return min(begun + len(_EMPTY_LINE) - len(self._tail), most)
        found = self._data.find(_EMPTY_LINE, start, start + most)
        return min(self.unread, most) if found < 0 else found + len(_EMPTY_LINE) - start

    def _tell(self, piece: bytes) -> None:
        """Give llhttp the next bytes. Raises Refused."""
        assert self._parser is not None
        self._tail = (self._tail + piece[-3:])[-3:]
        try:
            self._parser.feed_data(piece)
        except HttpParserUpgrade:
            self._repeat_body()
        except HttpParserError as error:
            self._check_limits()
            raise RequestRefused(400, str(error)) from None
        self._check_limits()

    def _check_limits(self) -> None:
        """Raises Refused."""
        if len(self._fields) > HEAD_FIELDS:
            raise RequestRefused(431, "there are too many header fields")
        if self._body_size > self._body_most:
            raise RequestRefused(413, "the body is too large")
        if self._trailer:
            raise RequestRefused(400, "there is a trailer")

    def _checked_head(self) -> RequestHead:
        """What llhttp takes and nobody needs is refused here. Raises Refused."""
        if self._version not in ("1.0", "1.1"):
            raise RequestRefused(400, f"HTTP/{self._version} isn't spoken here")
        if self._transfer_coding is not None and self._version == "1.0":
            raise RequestRefused(400, "HTTP/1.0 has no chunks")
        if (self._transfer_coding or "chunked").lower() != "chunked":
            raise RequestRefused(400, "the only transfer coding understood here is chunked")
        return RequestHead(
            self._method.decode("ascii"),
            b"".join(self._target).decode("ascii"),
            f"HTTP/{self._version}",
            self._fields,
            self._keep_alive,
            self._expects,
        )

    def _too_large_head(self) -> RequestRefused:
        """Whichever takes more than half of what there may be is the one that is too large."""
        if sum(map(len, self._target)) > HEAD_BYTES // 2:
            return RequestRefused(414, "the target is too long")
        return RequestRefused(431, "the header is too large")

    def _repeat_body(self) -> None:
        """Tell llhttp of the body that it leaves to the protocol which the client wishes for."""
        if self._body_left == 0:
            return
        self.whole = False
        if self._body_left is None:
            framing = b"Transfer-Encoding: chunked"
        else:
            framing = b"Content-Length: %d" % self._body_left
        self._repeating = True
        self._parser = HttpRequestParser(self)  # the other one may expect no more requests
        self._parser.feed_data(b"%b/ HTTP/1.1\r\n%b\r\n\r\n" % (_COMMON_METHOD, framing))
        self._repeating = False


def _found(pattern: re.Pattern[bytes], data: bytes, start: int, most: int) -> int:
    """How many bytes from `start` on are of a kind; at most `most`."""
    found = pattern.match(data, start, start + most)
    return len(found[0]) if found is not None else 0
