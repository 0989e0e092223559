"""Queries and headers of wishes: understood, or refused by their name; nothing else happens."""

from contextlib import suppress
from decimal import Decimal

from budget import examples
from hypothesis import example, given
from hypothesis import strategies as st
from mutation import mutated

from handlers.negotiation import accepted_encoding, takes_event_stream
from handlers.parameters import (
    ALIASES,
    BATCH_MAX,
    ERRORS,
    HEARTBEAT_MAX,
    HEARTBEAT_MIN,
    PAGE_MAX,
    SINCE_MAX,
    USD_MAX,
    last_id,
    page_query,
    stream_query,
)
from wd_server.errors import InvalidParameter, InvalidWallet
from wd_server.events.ids import EventId
from wd_server.streaming.channel import UnreadableId
from wd_server.trading.wallet import WalletAddress

WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
NAMES = ["batch", "follow", "mint", "side", "min_usd", "since", "skip_pricing"]
NAMES += ["last_event_id", *ALIASES, "heartbeat", "errors", "limit", "after"]
RIGHT = (b"true", b"0", b"1", b"500", b"buy", b"1.5", b"1e3", b"1-1", b"event", WALLET.encode())
PIECES = (b"+", b"-", b".", b"e", b"_", b"E+9", b"NaN", b"Infinity", b"\0", b"\n", b" ", b"0" * 30)
VALUES = mutated(st.sampled_from(RIGHT), (*PIECES, "\u0661\uff11\xb2".encode()), 2)
texts = VALUES.map(lambda raw: raw.decode("utf-8", "replace")) | st.text(max_size=30)
queries = st.dictionaries(
    st.sampled_from(NAMES) | st.text(max_size=5),
    st.sampled_from(RIGHT).map(bytes.decode) | texts,
    max_size=5,
)


@examples(1000)
@given(queries, st.integers(0, BATCH_MAX))
@example({"min_usd": "1e999999999"}, 0)
@example({"min_usd": "sNaN"}, 0)
@example({"min_usd": "-0"}, 0)
@example({"since": "9" * 12}, 0)
def test_a_query_for_a_stream_is_within_its_bounds_or_refused_by_a_name(
    query: dict[str, str], batch: int
) -> None:
    try:
        wish = stream_query(query, batch)
    except InvalidParameter as error:
        refused = error.message
    else:
        refused = ""
    if refused:
        assert refused.split(" ")[0] in NAMES
        assert len(refused) < 100
        return
    heartbeat = wish.heartbeat_seconds
    assert heartbeat is None or HEARTBEAT_MIN <= heartbeat <= HEARTBEAT_MAX
    view = wish.view
    assert 0 <= view.batch <= BATCH_MAX
    assert isinstance(view.follow, bool)
    assert isinstance(view.skip_pricing, bool)
    wanted = view.filter
    assert wanted.side in (None, "buy", "sell", "swap")
    assert wanted.since is None or 0 <= wanted.since <= SINCE_MAX
    assert wanted.mint is None or WalletAddress.parse(wanted.mint)
    if wanted.min_usd is not None:
        assert isinstance(wanted.min_usd, Decimal)
        assert 0 <= wanted.min_usd < USD_MAX
        assert abs(wanted.min_usd.as_tuple().exponent) < 10**20  # type: ignore[arg-type]


@examples(1000)
@given(queries, st.none() | texts)
def test_a_position_is_read_or_unreadable_and_refused_only_as_our_own_parameter(
    query: dict[str, str], header: str | None
) -> None:
    reconnected = [text for text in (header, *map(query.get, ALIASES)) if text]
    try:
        found = last_id(query, header, EventId.parse)
    except InvalidParameter:
        assert query["last_event_id"]
        assert not reconnected
        return
    if isinstance(found, UnreadableId):
        assert reconnected
    elif reconnected:
        assert found == EventId.parse(reconnected[0])


@examples(375)
@given(queries)
def test_a_query_for_a_page_is_within_its_bounds_or_refused_by_a_name(
    query: dict[str, str],
) -> None:
    with suppress(InvalidParameter):
        assert 1 <= page_query(query)[1] <= PAGE_MAX
    with suppress(InvalidParameter):
        assert ERRORS.read(query) == query.get("errors", "status")


@examples(500)
@given(
    st.text(max_size=60)
    | mutated(st.just(b"text/event-stream;q=0.5, */*, gzip;q=0"), (b",", b";", b"q=", b"*")).map(
        lambda raw: raw.decode("latin-1")
    )
)
def test_any_text_may_stand_in_accept_headers(text: str) -> None:
    assert takes_event_stream(text) in (True, False)
    assert accepted_encoding(text) in ("gzip", None)


@examples(500)
@given(st.text(max_size=50))
def test_any_text_is_an_address_of_32_bytes_or_refused(text: str) -> None:
    with suppress(InvalidWallet):
        address = WalletAddress.parse(text)
        assert address == text
        assert text.isascii()
        assert text.isalnum()
