"""The slot of one stream, whatever comes first: the stream, the end of its key, or an error."""

from typing import cast

import pytest

from handlers.admission import StreamSlot
from wd_server.access.principal import Principal
from wd_server.access.session_slots import Ending, SessionSlots
from wd_server.streaming.connection import Connection
from wd_server.streaming.lifecycle import CloseReason


class Sent:
    """In the place of a stream: notes why it was sent away."""

    def __init__(self) -> None:
        self.on_closed = None
        self.reasons: list[CloseReason] = []

    def send_away(self, reason: CloseReason) -> None:
        self.reasons.append(reason)


ALICE = Principal("key:alice", None, 0, 1, key_id="alice")


@pytest.fixture
def slots() -> SessionSlots:
    return SessionSlots(lambda principal: None)


def taken(slots: SessionSlots) -> StreamSlot:
    slot = StreamSlot()
    slot.hold(slots.add(ALICE, slot.end))
    return slot


def test_a_slot_that_no_stream_took_is_free_again(slots: SessionSlots) -> None:
    with taken(slots):
        assert slots.count == 1
    assert slots.count == 0


def test_a_slot_is_free_again_after_an_error(slots: SessionSlots) -> None:
    with pytest.raises(LookupError), taken(slots):
        raise LookupError
    assert slots.count == 0


def test_a_stream_keeps_its_slot_until_it_is_closed(slots: SessionSlots) -> None:
    stream = Sent()
    with taken(slots) as slot:
        slot.give(cast(Connection, stream))
    assert slots.count == 1
    assert stream.on_closed is not None
    stream.on_closed()
    assert slots.count == 0
    stream.on_closed()  # harmless
    assert slots.count == 0


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(Ending.REVOKED, CloseReason.REVOKED), (Ending.EXPIRED, CloseReason.TOKEN_EXPIRED)],
)
@pytest.mark.parametrize("first", ["the stream", "the end"])
def test_a_stream_is_sent_away_even_if_its_key_ended_before_it_was_made(
    slots: SessionSlots, first: str, ending: Ending, reason: CloseReason
) -> None:
    stream = Sent()
    with taken(slots) as slot:
        if first == "the end":
            slot.end(ending)
        slot.give(cast(Connection, stream))
    if first == "the stream":
        slot.end(ending)
    assert stream.reasons == [reason]
