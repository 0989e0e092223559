"""Chunks, of which the body of an HTTP/1.1 response is made (RFC 9112, section 7.1).

The last chunk is how a client knows that the server ended the stream. A stream without it was cut
off: the server was killed, or something on the way closed the connection.
"""

LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """`data` as one chunk. No bytes make no chunk, since an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def content(chunk: bytes) -> bytes:
    """What `chunk` was made of."""
    return chunk[chunk.find(b"\n") + 1 : -2]
