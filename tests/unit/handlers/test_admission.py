"""A place for one stream, whatever comes first: the stream, the end of its key, or an error."""

from typing import cast

import pytest

from handlers.admission import Entrance
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
def visits() -> SessionSlots:
    return SessionSlots(lambda principal: None)


def entered(visits: SessionSlots) -> Entrance:
    entrance = Entrance()
    entrance.open(visits.add(ALICE, entrance.end))
    return entrance


def test_a_place_that_no_stream_took_is_free_again(visits: SessionSlots) -> None:
    with entered(visits):
        assert visits.count == 1
    assert visits.count == 0


def test_a_place_is_free_again_after_an_error(visits: SessionSlots) -> None:
    with pytest.raises(LookupError), entered(visits):
        raise LookupError
    assert visits.count == 0


def test_a_stream_keeps_its_place_until_it_is_closed(visits: SessionSlots) -> None:
    stream = Sent()
    with entered(visits) as entrance:
        entrance.give(cast(Connection, stream))
    assert visits.count == 1
    assert stream.on_closed is not None
    stream.on_closed()
    assert visits.count == 0
    stream.on_closed()  # harmless
    assert visits.count == 0


@pytest.mark.parametrize(
    ("ending", "reason"),
    [(Ending.REVOKED, CloseReason.REVOKED), (Ending.EXPIRED, CloseReason.TOKEN_EXPIRED)],
)
@pytest.mark.parametrize("first", ["the stream", "the end"])
def test_a_stream_is_sent_away_even_if_its_key_ended_before_it_was_made(
    visits: SessionSlots, first: str, ending: Ending, reason: CloseReason
) -> None:
    stream = Sent()
    with entered(visits) as entrance:
        if first == "the end":
            entrance.end(ending)
        entrance.give(cast(Connection, stream))
    if first == "the stream":
        entrance.end(ending)
    assert stream.reasons == [reason]
