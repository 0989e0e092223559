from decimal import Decimal

import pytest

from handlers.parameters import ALIASES, ERRORS, last_id, page_query, stream_query
from wd_server.errors import InvalidParameter
from wd_server.events.ids import EventId
from wd_server.streaming.channel import UnreadableId
from wd_server.streaming.view import NO_FILTER, Filter, View

MINT = "So11111111111111111111111111111111111111112"


def view(**query: str) -> View:
    return stream_query(query, 0).view


def position(header: str | None = None, **query: str) -> EventId | UnreadableId | None:
    return last_id(query, header, EventId.parse)


def test_one_who_asks_for_nothing_gets_every_trade_alone_and_does_not_follow() -> None:
    assert view() == View(follow=False, batch=0, skip_pricing=False, filter=NO_FILTER)


def test_each_parameter_reaches_the_view() -> None:
    wish = view(
        follow="true",
        batch="500",
        skip_pricing="1",
        mint=MINT,
        side="sell",
        min_usd="1.5",
        since="9",
    )
    assert wish == View(
        follow=True,
        batch=500,
        skip_pricing=True,
        filter=Filter(mint=MINT, side="sell", min_usd=Decimal("1.5"), since=9),
    )


def test_unknown_parameters_are_ignored() -> None:
    assert view(colour="green") == view()


def test_the_servers_batch_is_for_those_who_do_not_say() -> None:
    assert stream_query({}, 50).view.batch == 50
    assert stream_query({"batch": "1"}, 50).view.batch == 1


def test_a_heartbeat_is_as_asked_for_or_as_the_settings_have_it() -> None:
    assert stream_query({}, 0).heartbeat_seconds is None
    assert stream_query({"heartbeat": "5"}, 0).heartbeat_seconds == 5
    assert stream_query({"heartbeat": "20"}, 0).heartbeat_seconds == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch", value) for value in ("0", "501", "-1", "1.5", "", "x", "٣", "9" * 40)),
        *(("follow", value) for value in ("yes!", "", "2")),
        *(("skip_pricing", value) for value in ("perhaps", "")),
        *(("side", value) for value in ("BUY", "", "hold")),
        *(("mint", value) for value in ("x", "", MINT + "2", "0" * 44)),
        *(("min_usd", value) for value in ("-1", "NaN", "Infinity", "", "1e99", "abc", "1_0")),
        *(("since", value) for value in ("-5", "now", "1700000000000", "")),
        *(("heartbeat", value) for value in ("4", "21", "0", "-5", "5.5", "", "5s", "9" * 40)),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_parameter(name: str, value: str) -> None:
    with pytest.raises(InvalidParameter, match=name):
        view(**{name: value})


UNREADABLE_IDS = (
    "abc",
    "1",
    "1-",
    "-1",
    "1-2-3",
    "1-2 ",
    "9" * 20,
    "\0",
    "\xe9",
    "1-1,1-2",
    "9" * 5000 + "-1",
)


def test_a_client_that_saw_nothing_has_no_position() -> None:
    assert position() is position("") is position(last_event_id="", lastEventId="") is None


def test_of_several_ids_the_one_that_was_written_last_counts() -> None:
    everywhere = {"last_event_id": "1-1", "lastEventId": "2-2"}
    assert position("3-3", **everywhere) == EventId(3, 3)
    assert position("", **everywhere) == EventId(2, 2)
    assert position(last_event_id="1-1", lastEventId="") == EventId(1, 1)


@pytest.mark.parametrize("alias", ALIASES)
def test_every_name_that_polyfills_use_is_the_position(alias: str) -> None:
    assert position(**{alias: "7-3"}) == EventId(7, 3)


@pytest.mark.parametrize("text", UNREADABLE_IDS)
def test_an_unreadable_id_is_refused_only_where_whoever_wrote_it_can_drop_it(text: str) -> None:
    with pytest.raises(InvalidParameter, match="last_event_id"):
        position(last_event_id=text)
    found = [
        position(text),
        *(position(**{each: text, "last_event_id": "1-1"}) for each in ALIASES),
    ]
    assert all(isinstance(each, UnreadableId) for each in found)
    # It may be a key in the wrong place.
    assert {str(each) for each in found} == {""}


def test_a_position_beyond_what_javascript_counts_exactly_cannot_be_read() -> None:
    assert position(f"{2**53 - 1}-1") == EventId(2**53 - 1, 1)
    assert isinstance(position(f"{2**53}-1"), UnreadableId)


def test_a_page_has_its_default_and_its_bounds() -> None:
    assert page_query({}) == (None, 100)
    assert page_query({"after": "3-4", "limit": "1000"}) == (EventId(3, 4), 1000)
    for limit in ("0", "1001", "-1", "many"):
        with pytest.raises(InvalidParameter, match="limit"):
            page_query({"limit": limit})


def test_a_page_with_two_wrong_parameters_is_refused_for_its_limit() -> None:
    with pytest.raises(InvalidParameter, match="limit"):
        page_query({"after": "x", "limit": "x"})


def test_errors_are_statuses_unless_asked_for_as_events() -> None:
    assert ERRORS.read({}) == "status"
    assert ERRORS.read({"errors": "event"}) == "event"
    with pytest.raises(InvalidParameter, match="errors must be event or status"):
        ERRORS.read({"errors": "maybe"})
