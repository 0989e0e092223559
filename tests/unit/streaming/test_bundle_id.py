"""An id for several wallets: says where the client was, and only if it was made here for them."""

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.access.keys import SigningKeys
from wd_server.errors import InvalidParameter
from wd_server.events.ids import EVENT_ID_PART_MAX, EventId
from wd_server.journal.base import next_epoch
from wd_server.secret import Secret
from wd_server.streaming import bundle_id
from wd_server.streaming.bundle_id import (
    ID_CHARACTERS_MAX,
    PURPOSE,
    WALLETS_MAX,
    Bookmarks,
    Positions,
    Seal,
)

KEYS = SigningKeys(Secret("a secret of this server, not of others"))
SEAL = Seal(KEYS, "key:one")
WALLETS = [f"wallet {number}" for number in range(WALLETS_MAX)]

parts = st.integers(1, EVENT_ID_PART_MAX)
positions = st.dictionaries(
    st.sampled_from(WALLETS), st.builds(EventId, parts, parts), min_size=1, max_size=WALLETS_MAX
)


def id_of(positions: dict[str, EventId], seal: Seal = SEAL) -> str:
    places = Positions(list(positions), seal)
    for place, position in enumerate(positions.values()):
        places.move(place, *position)
    return places.id()


AN_ID = id_of({WALLETS[0]: EventId(7 << 20, 3), WALLETS[1]: EventId(8 << 20, 300)})


@given(positions)
def test_an_id_says_where_the_client_was_in_each_wallet(where: dict[str, EventId]) -> None:
    bookmarks = Bookmarks.parse(id_of(where), SEAL)
    for wallet in WALLETS:
        position = where.get(wallet)
        assert bookmarks.position(wallet, position.epoch if position else 1) == position


def test_a_wallet_of_which_nothing_was_sent_is_not_in_the_id() -> None:
    places = Positions(WALLETS[:2], SEAL)
    places.move(0, 5, 1)
    places.move(1, 6, 2)
    places.move(0, 9, 0)
    bookmarks = Bookmarks.parse(places.id(), SEAL)
    assert bookmarks.position(WALLETS[0], 9) is None
    assert bookmarks.position(WALLETS[1], 6) == (6, 2)


def test_the_position_in_an_epoch_that_is_over_is_still_told() -> None:
    assert Bookmarks.parse(AN_ID, SEAL).position(WALLETS[0], 99) == (7 << 20, 3)


@given(st.integers(0, len(AN_ID) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_no_character_can_be_another(at: int, character: str) -> None:
    changed = AN_ID[:at] + character + AN_ID[at + 1 :]
    if changed != AN_ID:
        with pytest.raises(InvalidParameter):
            Bookmarks.parse(changed, SEAL)


@given(st.text() | st.from_regex(r"\A[A-Za-z0-9_-]{1,200}\Z") | st.just("1882685741609896-7"))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        Bookmarks.parse(text, SEAL)


@given(st.integers(0, len(AN_ID) - 1))
def test_a_part_of_an_id_is_refused(length: int) -> None:
    for text in (AN_ID[:length], AN_ID + AN_ID[:length] + "A", AN_ID + "=" * length + "="):
        with pytest.raises(InvalidParameter):
            Bookmarks.parse(text, SEAL)


@pytest.mark.parametrize("other", ["", "key:two", "key:on", "key:one ", "token:x key:one"])
def test_another_subjects_id_is_refused(other: str) -> None:
    with pytest.raises(InvalidParameter):
        Bookmarks.parse(AN_ID, Seal(KEYS, other))


def test_an_id_signed_with_another_servers_secret_is_refused() -> None:
    with pytest.raises(InvalidParameter):
        Bookmarks.parse(
            AN_ID, Seal(SigningKeys(Secret("another server's secret, as long")), "key:one")
        )


def test_what_was_sealed_for_another_purpose_is_no_id() -> None:
    class Elsewhere:
        def seal(self, purpose: str, message: bytes) -> bytes:
            return KEYS.seal("something else", message)

        is_seal = KEYS.is_seal

    with pytest.raises(InvalidParameter):
        Bookmarks.parse(id_of({WALLETS[0]: EventId(5, 1)}, Seal(Elsewhere(), "key:one")), SEAL)


def test_an_id_outlives_the_change_of_the_secret_once() -> None:
    old, new, newer = (Secret(f"{which} secret of this very server") for which in "abc")
    made = id_of({WALLETS[0]: EventId(5, 1)}, Seal(SigningKeys(old), "key:one"))
    bookmarks = Bookmarks.parse(made, Seal(SigningKeys(new, old), "key:one"))
    assert bookmarks.position(WALLETS[0], 5) == (5, 1)
    with pytest.raises(InvalidParameter):
        Bookmarks.parse(made, Seal(SigningKeys(newer, new), "key:one"))


@given(st.binary(max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_a_subject_that_ends_like_marks_is_still_another(text: bytes, one: int, two: int) -> None:
    """Subjects of foreign issuers may be any text, also such as would move the border."""
    subject = text.decode("latin-1")
    seals = [Seal(KEYS, subject[:at]).of(subject[at:].encode()) for at in (one, two)]
    assert (seals[0] == seals[1]) == (subject[:one] == subject[:two])


def test_wallets_with_the_same_tag_are_told_apart_by_their_epochs() -> None:
    with patch.object(bundle_id, "TAG_BYTES", 1):
        tags: dict[bytes, str] = {}
        one, two = next(
            (tags[tag], wallet)
            for wallet in map(str, range(1000))
            if tags.setdefault(tag := bundle_id._tag(wallet), wallet) != wallet
        )
        begun = {wallet: EventId(next_epoch(wallet, None, 1000.0), 7) for wallet in (one, two)}
        begun[two] = begun[two]._replace(seq=8)
        bookmarks = Bookmarks.parse(id_of(begun), SEAL)
        for wallet, position in begun.items():
            assert bookmarks.position(wallet, position.epoch) == position


def test_the_longest_id_is_accepted_and_ordinary_ones_are_short() -> None:
    longest = id_of(dict.fromkeys(WALLETS, EventId(EVENT_ID_PART_MAX, EVENT_ID_PART_MAX)))
    assert len(longest) <= ID_CHARACTERS_MAX
    assert len(Bookmarks.parse(longest, SEAL)) == WALLETS_MAX
    lengths = {}
    for count in (2, 10, 50):
        wallets = WALLETS[:count]
        usual = {each: EventId(next_epoch(each, None, 1.8e9), 5000) for each in wallets}
        lengths[count] = len(id_of(usual))
    print(f"characters of an id, by wallets: {lengths}")
    assert lengths[2] <= 80
    assert lengths[10] <= 210
    assert lengths[50] <= 850


def test_the_purpose_says_what_it_is_for() -> None:
    body = b"bookmarks"
    assert SEAL.of(body) == KEYS.seal(PURPOSE, b"7:key:one" + body)
