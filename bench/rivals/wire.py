"""What goes over the wire, the same for every contender, and how clients count it."""

# Bytes of one event with its `event:`, `data:` and `id:` lines: a trade of the public contract
# without its long names. Issue and targets speak of events of this size.
EVENT_BYTES = 250
# Stands once in every event and in nothing else that a contender sends. Clients count it, so
# neither chunk framing nor a read that ends within an event changes the count.
MARK = b"~"

# What a rival sends first: as long as wd-server's own `connected`.
GREETING = b'event: connected\ndata: {"filler":"%b"}\n\n' % (b"x" * 190)

_EMPTY = b'{"signature":"%b","mark":"' + MARK + b'"}'


def payload(size: int) -> bytes:
    """JSON of this many bytes, with the mark in it."""
    filler = size - len(_EMPTY % b"")
    if filler < 0:
        raise ValueError(f"an event's data can't be as short as {size} bytes")
    return _EMPTY % (b"x" * filler)


def frame() -> bytes:
    """One whole event, as wd-server writes it. Rivals send the same one again and again: none of
    them looks into it."""
    start, end = b"event: trade\ndata: ", b"\nid: 1882685741609896-123456\n\n"
    return start + payload(EVENT_BYTES - len(start) - len(end)) + end
