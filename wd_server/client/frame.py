"""Bytes of an event stream -> whole events -> their fields (WHATWG HTML, section 9.2.6)."""

from typing import Final, NamedTuple

END: Final = b"\n\n"


class Fields(NamedTuple):
    """One event. `data` is None when it has none: then it is no event, but its `retry`
    (milliseconds) counts."""

    name: bytes
    event_id: bytes
    data: bytes | None
    retry: int | None


def cut(data: bytes) -> tuple[bytes, bytes]:
    """Whole events, with LF as the end of each line, and the beginning of the next one."""
    held = b""
    if b"\r" in data:
        if data.endswith(b"\r"):  # its LF may be on its way
            data, held = data[:-1], b"\r"
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    end = data.rfind(END)
    if end < 0:
        return b"", data + held
    end += len(END)
    return data[:end], data[end:] + held


def fields(frame: bytes) -> Fields:
    """A frame without the blank line that ends it."""
    name, event_id, payload, retry = b"message", b"", None, None
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            payload = value if payload is None else payload + b"\n" + value
        elif field == b"id":
            event_id = value
        elif field == b"event":
            name = value
        elif field == b"retry" and value.isdigit():
            retry = int(value)
    return Fields(name, event_id, payload, retry)
