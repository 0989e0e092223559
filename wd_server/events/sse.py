"""Bytes of server-sent events (WHATWG HTML, section 9.2)."""

# A line ends at CR, LF or CRLF, and an id with NUL is ignored: none of them may stand in a value.
_FORBIDDEN = ("\r", "\n", "\0")


def frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. `data` is a single line (JSON is, when it isn't indented). The id comes last,
    since some clients take an id at its line, also that of an event which broke off behind it.

    Raises ValueError for a value that would end its line early.
    """
    if any(character in event for character in _FORBIDDEN):
        raise ValueError("an event's name can't contain CR, LF or NUL")
    if b"\n" in data or b"\r" in data:
        raise ValueError("an event's data must be one line")
    if event_id is None:
        return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
    if any(character in event_id for character in _FORBIDDEN):
        raise ValueError("an event's id can't contain CR, LF or NUL")
    return b"event: %b\ndata: %b\nid: %b\n\n" % (event.encode(), data, event_id.encode())


def identified(event_id: str, frame: bytes) -> bytes:
    """An event that was made without an id, with one. Raises ValueError as `frame` does."""
    if any(character in event_id for character in _FORBIDDEN):
        raise ValueError("an event's id can't contain CR, LF or NUL")
    return b"%bid: %b\n\n" % (frame[:-1], event_id.encode())


def with_member(frame: bytes, member: bytes) -> bytes:
    """An event whose data is a JSON object that isn't empty, with one member more in front."""
    return frame.replace(b"\ndata: {", b"\ndata: {%b," % member, 1)


def retry(milliseconds: int) -> bytes:
    """The line that tells an EventSource how long to wait before it connects again. It belongs in
    front of the event it comes with, so that both are dispatched together."""
    return b"retry: %d\n" % milliseconds
