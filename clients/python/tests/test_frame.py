import time
from collections.abc import Sequence

import pytest
from wd_client.frame import EVENT_BYTES, EventTooLong, Fields, FrameReader, fields

TEXT = b'retry: 5\nevent: a\ndata: {"x":\ndata: 1}\nid: 7-1\n\n:note\n\nevent:b\ndata:2\n\n'
FRAMES = [
    Fields(b"a", b"7-1", b'{"x":\n1}', 5),
    Fields(b"message", None, None, None),
    Fields(b"b", None, b"2", None),
]


def read(pieces: Sequence[bytes]) -> list[Fields]:
    reader = FrameReader()
    return [frame for piece in pieces for frame in reader.feed(piece)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_is_the_same_wherever_it_is_cut(end: bytes, mark: bytes) -> None:
    text = mark + TEXT.replace(b"\n", end)
    for at in range(len(text) + 1):
        # With CR as the end, a colon shows that the last one was not half a CRLF.
        assert read([text[:at], text[at:], b":"]) == FRAMES
    assert read([text[at : at + 1] for at in range(len(text))] + [b":"]) == FRAMES


def test_only_one_mark_is_taken_off_and_only_at_the_beginning() -> None:
    mark = b"\xef\xbb\xbf"
    first, second = read([mark + mark + b"data: 1\n\n", mark + b"data: 2\n\n"])
    assert first.data is second.data is None


@pytest.mark.parametrize(
    ("lines", "event_id"),
    [
        (b"data: 1", None),
        (b"id: 7-1\ndata: 1", b"7-1"),
        (b"id: 7-1", b"7-1"),
        (b"id: 7-1\nid", b""),
        (b"id:", b""),
        (b"id: 7\0-1\ndata: 1", None),
        (b"id: 7-1\nid: \0", b"7-1"),
        (b"id: a\x1fb", None),
        ("id: ä→".encode(), "ä→".encode()),
    ],
)
def test_an_id_is_as_the_standard_says_with_data_and_without(
    lines: bytes, event_id: bytes | None
) -> None:
    assert fields(lines).event_id == event_id


@pytest.mark.parametrize("line", [b"event:", b"event", b"event: "])
def test_an_empty_name_is_message(line: bytes) -> None:
    assert fields(line + b"\ndata: 1").name == b"message"


@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"\xc2\xb2", b"9" * 5000])
def test_a_time_to_come_back_that_is_none_is_ignored(value: bytes) -> None:
    assert fields(b"retry: " + value).retry is None


def test_an_event_that_does_not_end_is_refused() -> None:
    reader = FrameReader()
    for _ in range(EVENT_BYTES // 65536):
        assert reader.feed(b"x" * 65536) == []
    with pytest.raises(EventTooLong):
        reader.feed(b"x")


# Of the processor for a KB, which takes a few microseconds; the factor is for a busy machine.
MILLISECONDS_A_KB = 1.0


@pytest.mark.parametrize("text", [b"x", b"x\n", b"x\r", b"\r", b"\xef"])
def test_the_time_that_a_long_event_takes_is_linear_in_its_bytes(text: bytes) -> None:
    reader, kilobytes = FrameReader(), 1000
    piece = text * (50 // len(text))
    began = time.process_time()
    for _ in range(20 * kilobytes):
        reader.feed(piece)
    assert (time.process_time() - began) * 1000 < MILLISECONDS_A_KB * kilobytes
