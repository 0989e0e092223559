import json
from dataclasses import fields, is_dataclass
from decimal import Decimal

import pytest
from wd_client.errors import BadAnswer
from wd_client.events import EVENTS, Event, Gap, Other, Trade, made, parsed

TOKEN = {"mint": "M", "symbol": "T", "decimals": 9, "amount": 0.1, "amount_raw": "100000000"}
TRADE = {
    **dict.fromkeys(("signature", "action", "cost_basis", "dex", "confidence", "commitment"), "x"),
    **dict.fromkeys(("slot", "timestamp", "emitted_at"), 7),
    **dict.fromkeys(("fee_sol", "unmatched_amount", "position_amount", "value_sol"), 1.25),
    **dict.fromkeys(("price_usd", "value_usd", "pnl_usd", "pnl_sol")),
    "token_in": TOKEN,
    "token_out": TOKEN,
    "priced": False,
}


def read(name: str, event_id: str | None, text: bytes) -> Event:
    return made(name, parsed(name, text), id=event_id)


def test_a_trade_has_types_and_all_digits_of_its_amounts() -> None:
    text = json.dumps(TRADE).replace("1.25", "0.12345678901234567890123")
    trade = read("trade", "7-1", text.encode())
    assert isinstance(trade, Trade)
    assert trade.id == "7-1"
    assert trade.fee_sol == Decimal("0.12345678901234567890123")
    assert trade.token_in.amount == Decimal("0.1")
    assert trade.pnl_sol is None
    assert trade.data["slot"] == 7


def test_trades_of_a_batch_are_trades() -> None:
    data = {"trades": [TRADE], "batch_num": 1, "total_yielded": 1, "has_more": False}
    batch = read("trades", "7-1", json.dumps({**data, "timestamp": 1, "wallet": "W"}).encode())
    assert batch.wallet == "W"
    assert [trade.signature for trade in batch.trades] == ["x"]  # type: ignore[attr-defined]


def test_an_event_within_another_has_its_own_data_with_what_a_newer_server_adds() -> None:
    batch = read("trades", "7-1", json.dumps({"trades": [{**TRADE, "mood": "good"}]}).encode())
    assert [trade.data["mood"] for trade in batch.trades] == ["good"]  # type: ignore[attr-defined]
    complete = read("complete", "7-2", b'{"summary":{"mood":"bad"}}')
    assert complete.summary.data == {"mood": "bad"}  # type: ignore[attr-defined]


def test_names_that_python_keeps_for_itself_have_others() -> None:
    gap = read("gap", None, b'{"reason":"expired","from":"7-1","to":null}')
    assert isinstance(gap, Gap)
    assert (gap.from_id, gap.to_id) == ("7-1", None)


def test_what_a_newer_server_adds_is_kept_and_no_error() -> None:
    assert read("heartbeat", None, b'{"timestamp":1,"mood":"good"}').data["mood"] == "good"
    news = read("weather", None, b'{"sun":true}')
    assert isinstance(news, Other)
    assert (news.name, news.data) == ("weather", {"sun": True})


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"1", b"{", b"\xff", b'{"timestamp":', b"[" * 100_000, b'{"reason":1}'],
)
def test_data_that_is_not_what_was_agreed_is_said_so(text: bytes) -> None:
    with pytest.raises(BadAnswer):
        read("gap", None, text)


@pytest.mark.parametrize("text", [b"{}", b'{"error":null,"trades":null,"token_in":null}'])
@pytest.mark.parametrize("name", list(EVENTS))
def test_a_field_that_an_older_server_leaves_out_is_nothing_and_no_number(
    name: str, text: bytes
) -> None:
    event = read(name, None, text)
    assert type(event) is EVENTS[name]
    values = [getattr(event, each.name) for each in fields(event) if each.name != "data"]
    assert not any(value for value in values if not is_dataclass(value))
    assert not any(type(value) in (int, float, Decimal) for value in values)


def test_a_trade_without_one_of_its_fields_is_the_trade_without_it() -> None:
    whole = read("trade", "7-1", json.dumps(TRADE).encode())
    for missing in TRADE:
        data = {name: value for name, value in TRADE.items() if name != missing}
        trade = read("trade", "7-1", json.dumps(data).encode())
        for each in fields(trade):
            if each.name not in ("data", missing):
                assert getattr(trade, each.name) == getattr(whole, each.name)


def test_tokens_that_are_missing_are_tokens_without_anything() -> None:
    trade = read("trade", "7-1", b"{}")
    assert isinstance(trade, Trade)
    assert (trade.token_in.symbol, trade.token_in.amount) == ("", None)


def test_an_amount_that_is_none_is_said_so() -> None:
    with pytest.raises(BadAnswer):
        read("trade", "7-1", json.dumps({**TRADE, "fee_sol": "much"}).encode())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bye", b'{"reason":"slow","reconnect_after_ms":"soon"}'),
        ("error", b'{"error":"No.","code":"X","details":[],"timestamp":1}'),
        ("heartbeat", b'{"timestamp":true}'),
    ],
)
def test_a_value_of_another_type_is_said_so(name: str, text: bytes) -> None:
    with pytest.raises(BadAnswer):
        read(name, None, text)
