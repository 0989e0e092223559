"""Bytes of an event stream -> whole events -> their fields (WHATWG HTML, section 9.2.6)."""

import re
from typing import Final, NamedTuple

END: Final = b"\n\n"
# Bytes of one event: a batch of 500 trades, the largest there is, has about 400 KB.
EVENT_BYTES: Final = 8 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
# Digits of a `retry` that is meant: more than these are more than 30,000 years.
_RETRY = re.compile(rb"[0-9]{1,15}")
# No header can carry these back: an id with one is ignored, as the standard ignores one with NUL.
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Fields(NamedTuple):
    """One event. `event_id` is None without an `id` line, and empty where the line is: that resets
    the position. `data` is None when it has none: then it is no event, but its id and its `retry`
    (milliseconds) count."""

    name: bytes
    event_id: bytes | None
    data: bytes | None
    retry: int | None


class EventTooLong(Exception):
    """More than EVENT_BYTES came, and no blank line."""


class FrameReader:
    """Bytes of a stream, in pieces as they come. Its time is linear in them, however small the
    pieces are: each is looked at once, and joined with those before it when an event ends."""

    def __init__(self) -> None:
        self._first = b""  # up to two bytes that may be the beginning of a byte order mark
        self._begun = False
        self._held = b""  # a CR whose LF may be on its way
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Fields]:
        """The events that end within this piece. Raises EventTooLong."""
        data = self._ended_by_lf(self._without_mark(data))
        if not data:
            return []
        before = self._parts[-1][-1:] if self._parts else b""
        self._parts.append(data)
        self._size += len(data)
        if END not in before + data:
            if self._size > EVENT_BYTES:
                raise EventTooLong
            return []
        whole, rest = cut(b"".join(self._parts))
        self._parts = [rest] if rest else []
        self._size = len(rest)
        return [fields(frame) for frame in whole.split(END) if frame]

    def _without_mark(self, data: bytes) -> bytes:
        if self._begun:
            return data
        data = self._first + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._first = data
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _ended_by_lf(self, data: bytes) -> bytes:
        if self._held or b"\r" in data:
            data, self._held = self._held + data, b""
            if data.endswith(b"\r"):
                data, self._held = data[:-1], b"\r"
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


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
    name, event_id, payload, retry = b"", None, None, None
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            payload = value if payload is None else payload + b"\n" + value
        elif field == b"id" and not _CONTROL.search(value):
            event_id = value
        elif field == b"event":
            name = value
        elif field == b"retry" and _RETRY.fullmatch(value):
            retry = int(value)
    return Fields(name or b"message", event_id, payload, retry)
