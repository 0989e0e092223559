import pytest

from bench.rivals import nchan, wire
from wd_server.events import sse


def test_an_event_has_the_agreed_size_and_one_mark():
    frame = wire.frame()
    assert len(frame) == wire.EVENT_BYTES == 250
    assert frame.count(wire.MARK) == 1


def test_a_rivals_event_is_framed_as_the_servers():
    data = wire.frame().split(b"\n")[1].removeprefix(b"data: ")
    assert wire.frame() == sse.frame("trade", data, "1882685741609896-123456")


def test_a_greeting_is_no_event_to_the_clients_count():
    assert wire.MARK not in wire.GREETING
    assert wire.GREETING.endswith(b"\n\n")


@pytest.mark.parametrize("size", [40, 200, 1000])
def test_a_payload_has_the_size_asked_for_and_one_mark(size: int):
    assert len(wire.payload(size)) == size
    assert wire.payload(size).count(wire.MARK) == 1


def test_a_payload_too_short_for_its_mark_is_refused():
    with pytest.raises(ValueError, match="as short as 10 bytes"):
        wire.payload(10)


def test_what_nchan_adds_to_its_data_makes_an_event_of_the_agreed_size():
    frame = b"event: trade\nid: 1795485999:12\ndata: " + nchan.body() + b"\n\n"
    assert len(frame) == wire.EVENT_BYTES
