"""Ids that clients send back, changed on the way or made up."""

import re

import pytest
from budget import examples
from hypothesis import given
from hypothesis import strategies as st
from mutation import mutated

from wd_server.access.keys import SigningKeys
from wd_server.errors import InvalidParameter
from wd_server.events.ids import EVENT_ID_PART_MAX, EventId
from wd_server.secret import Secret
from wd_server.streaming.bundle_id import WALLETS_MAX, Bookmarks, Positions, Seal

halves = st.integers(0, EVENT_ID_PART_MAX)
texts = st.builds(lambda run, seq: str(EventId(run, seq)).encode(), halves, halves)
PIECES = (b"-", b"0", b"9", b"+", b" ", b"_", b".", b"\n", b"\0", "\u0661".encode(), b"\xb2")

WALLETS = [f"wallet number {number}" for number in range(WALLETS_MAX)]
SIGNER = SigningKeys(Secret("s" * 32), Secret("o" * 32))
SEAL = Seal(SIGNER, "key:wd_mine")
OTHERS = Seal(SIGNER, "key:wd_other")
FOREIGN = Seal(SigningKeys(Secret("f" * 32)), "key:wd_mine")


@examples(750)
@given(mutated(texts, PIECES).map(lambda text: text.decode("latin-1")) | st.text(max_size=40))
def test_an_event_id_is_two_numbers_or_refused(text: str) -> None:
    try:
        found = EventId.parse(text)
    except InvalidParameter:
        return
    assert re.fullmatch(r"[0-9]{1,16}-[0-9]{1,16}", text)
    assert max(found) <= EVENT_ID_PART_MAX
    assert EventId.parse(str(found)) == found


@st.composite
def positions(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Number of the wallet, run, sequence number."""
    places = draw(st.lists(st.integers(0, WALLETS_MAX - 1), min_size=1, max_size=5, unique=True))
    return [(place, draw(halves), draw(halves.filter(bool))) for place in places]


def _id(moves: list[tuple[int, int, int]], seal: Seal = SEAL) -> str:
    places = Positions(WALLETS, seal)
    for place, run, seq in moves:
        places.move(place, run, seq)
    return places.id()


@examples(150)
@given(positions())
def test_an_id_of_several_wallets_reads_back_for_whom_it_was_made_and_for_nobody_else(
    moves: list[tuple[int, int, int]],
) -> None:
    text = _id(moves)
    bookmarks = Bookmarks.parse(text, SEAL)
    for place, run, seq in moves:
        assert bookmarks.position(WALLETS[place], run) == EventId(run, seq)
    for seal in (OTHERS, FOREIGN):
        with pytest.raises(InvalidParameter):
            Bookmarks.parse(text, seal)


@examples(500)
@given(positions(), st.data())
def test_a_changed_id_of_several_wallets_is_refused(
    moves: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    made = _id(moves)
    pieces = (b"A", b"_", b"-", b"=", b"\n", b"\0", made[:43].encode(), _id([]).encode())
    changed = data.draw(mutated(st.just(made.encode()), pieces)).decode("latin-1")
    if changed == made:
        return
    with pytest.raises(InvalidParameter) as refused:
        Bookmarks.parse(changed, SEAL)
    assert made not in refused.value.message


@examples(250)
@given(st.text(max_size=200) | st.from_regex(r"[A-Za-z0-9_-]{1,300}", fullmatch=True))
def test_a_made_up_id_of_several_wallets_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        Bookmarks.parse(text, SEAL)
