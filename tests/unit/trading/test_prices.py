"""What a trade is worth, and how numbers look when they leave."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.trading.amounts import coin_of, decimal_of, unit_price
from wd_server.trading.ledger import Ledger
from wd_server.trading.prices import Prices, Value, value_of, wanted_prices
from wd_server.trading.programs import SOL, USDC, USDT
from wd_server.trading.trade import Action, Leg, RawTrade, Trade
from wd_server.trading.wire import Stamp, trade_of

A, B = "Amint", "Bmint"
AT = 1_750_000_059
MINUTE = AT // 60
SOL_PRICE = Decimal("147.63215")
SOL_ONLY: Prices = {(SOL, MINUTE): SOL_PRICE}

encoder = msgspec.json.Encoder(decimal_format="number")


def leg(mint: str, raw: int) -> Leg:
    return Leg(mint, raw, 9 if mint == SOL else 6)


def raw_trade(sold: Leg, bought: Leg, action: Action = "swap") -> RawTrade:
    return RawTrade("sig", 7, AT, action, sold, bought, 5000, "dex", "high")


def test_a_sol_leg_is_exact_and_worth_its_minute() -> None:
    for trade in (
        raw_trade(leg(SOL, 1_000_000_001), leg(A, 5)),
        raw_trade(leg(A, 5), leg(SOL, 1_000_000_001)),
    ):
        assert value_of(trade, SOL_ONLY) == Value(1_000_000_001, 147_632_150_147)
        assert value_of(trade, {}) == Value(1_000_000_001, None)
        assert value_of(trade, {(SOL, MINUTE + 1): SOL_PRICE}).nanousd is None


def test_a_stable_leg_is_worth_its_face_and_sol_by_the_minute() -> None:
    trade = raw_trade(leg(USDC, 147_632_150), leg(A, 5))
    assert value_of(trade, SOL_ONLY) == Value(10**9, 147_632_150_000)
    assert value_of(trade, {}) == Value(None, 147_632_150_000)


def test_sol_for_a_stable_coin_needs_no_quote() -> None:
    trade = raw_trade(leg(SOL, 10**9), leg(USDC, 150_000_000))
    assert wanted_prices(trade) == ()
    assert value_of(trade, SOL_ONLY) == Value(10**9, 150 * 10**9)


def test_of_two_stable_coins_the_one_that_came_in_counts() -> None:
    trade = raw_trade(leg(USDC, 100_000_000), leg(USDT, 99_900_000))
    assert value_of(trade, {}).usd == Decimal("99.9")


def test_two_other_tokens_are_worth_the_sold_ones_quote_or_else_the_boughts() -> None:
    trade = raw_trade(leg(A, 2_000_000), leg(B, 3_000_000))
    both = {(A, MINUTE): Decimal("0.5"), (B, MINUTE): Decimal(7)}
    assert value_of(trade, both) == Value(None, 10**9)
    assert value_of(trade, {**SOL_ONLY, **both}) == Value(int(10**9 / SOL_PRICE), 10**9)
    assert value_of(trade, {(B, MINUTE): Decimal(7)}).usd == 21
    assert value_of(trade, SOL_ONLY) == Value(None, None)


def test_only_quotes_that_are_of_use_are_asked_for() -> None:
    sol = (SOL, MINUTE)
    assert wanted_prices(raw_trade(leg(SOL, 1), leg(A, 1))) == (sol,)
    assert wanted_prices(raw_trade(leg(A, 1), leg(USDC, 1))) == (sol,)
    assert wanted_prices(raw_trade(leg(A, 1), leg(B, 1))) == (sol, (A, MINUTE), (B, MINUTE))


@given(st.integers(1, 2**64), st.integers(1, 2**64), st.decimals("1e-24", "1e9", places=24))
def test_no_amount_and_no_price_breaks_a_value(sold: int, bought: int, price: Decimal) -> None:
    quotes = {(mint, MINUTE): price for mint in (SOL, A, B)}
    for trade in (
        raw_trade(leg(SOL, sold), leg(A, bought)),
        raw_trade(Leg(A, sold, 0), Leg(B, bought, 18)),
        raw_trade(Leg(A, sold, 255), leg(USDC, bought)),
    ):
        value = value_of(trade, quotes)
        assert value.nanousd is not None
        assert value.nanousd >= 0
        assert value.lamports is not None
        assert value.lamports >= 0


# Numbers on the wire.


@pytest.mark.parametrize(
    ("raw", "decimals", "text"),
    [
        (0, 6, "0"),
        (0, 0, "0"),
        (1000, 0, "1000"),
        (1_000_000_000, 6, "1000"),
        (1_500_000, 6, "1.5"),
        (1_986_656_546_333, 6, "1986656.546333"),
        (-778_498, 9, "-0.000778498"),
        (-(10**18), 9, "-1000000000"),
        (1, 9, "1E-9"),
        (10**30, 9, "1" + "0" * 21),
        (2**64 - 1, 18, "18.446744073709551615"),
    ],
)
def test_an_amount_is_written_without_trailing_zeros(raw: int, decimals: int, text: str) -> None:
    assert encoder.encode(decimal_of(raw, decimals)).decode() == text


@given(st.integers(-(2**80), 2**80), st.integers(0, 30))
def test_an_amount_loses_nothing_and_never_ends_in_zeros(raw: int, decimals: int) -> None:
    amount = decimal_of(raw, decimals)
    text = encoder.encode(amount).decode()
    assert Decimal(text).scaleb(decimals) == raw or abs(raw) > 10**27
    assert int(amount * 10**decimals) == raw or abs(raw) > 10**27
    assert json.loads(text, parse_float=Decimal, parse_int=Decimal) == amount
    assert "E+" not in text
    assert "." not in text or not text.split("E")[0].endswith("0")


@given(st.integers(0, 2**80), st.integers(1, 2**80), st.integers(0, 18))
def test_a_unit_price_is_a_sane_json_number(nanousd: int, raw: int, decimals: int) -> None:
    text = encoder.encode(unit_price(coin_of(nanousd), decimal_of(raw, decimals))).decode()
    json.loads(text)
    assert "E+" not in text
    assert "NaN" not in text


@pytest.mark.parametrize(
    ("total", "amount", "text"),
    [("1000", "1", "1000"), ("3000", "3", "1000"), ("10", "1", "10"), ("1", "4", "0.25"),
     ("0", "7", "0"), ("1", "3", "0.333333333333"), ("123456789012345", "1", "123456789012000")],
)  # fmt: skip
def test_a_unit_price_has_twelve_digits_and_no_exponent_upwards(
    total: str, amount: str, text: str
) -> None:
    assert encoder.encode(unit_price(Decimal(total), Decimal(amount))).decode() == text


def booked(*trades: tuple[RawTrade, Value], symbols: dict[str, str]) -> list[Trade]:
    ledger, stamp = Ledger("fifo"), Stamp("finalized", 99, "fifo")
    return [
        trade_of(trade, value, ledger.record_trade(trade, value), symbols, stamp)
        for trade, value in trades
    ]


def test_a_trade_is_put_together_as_the_contract_lists_it() -> None:
    purchase = raw_trade(leg(SOL, 2 * 10**9), leg(A, 4_000_000), "buy")
    sale = raw_trade(leg(A, 5_000_000), leg(SOL, 8 * 10**9), "sell")
    first, second = booked(
        (purchase, Value(2 * 10**9, 300 * 10**9)),
        (sale, Value(8 * 10**9, 1000 * 10**9)),
        symbols={A: "AAA"},
    )
    assert json.loads(encoder.encode(first)) == {
        "signature": "sig",
        "part": 0,
        "parts": 1,
        "slot": 7,
        "block_index": None,
        "timestamp": AT,
        "action": "buy",
        "token_in": {
            "mint": SOL, "symbol": "SOL", "decimals": 9, "amount": 2, "amount_raw": "2000000000",
        },
        "token_out": {
            "mint": A, "symbol": "AAA", "decimals": 6, "amount": 4, "amount_raw": "4000000",
        },
        "token": A,
        "price_usd": 75,
        "price_sol": 0.5,
        "value_usd": 300,
        "value_sol": 2,
        "fee_sol": 0.000005,
        "network_fee_sol": 0.000005,
        "priority_fee_sol": 0,
        "tip_sol": 0,
        "platform_fee_sol": 0,
        "pnl_usd": None,
        "pnl_sol": None,
        "cost_basis": "fifo",
        "unmatched_amount": 0,
        "position_amount": 4,
        "priced": True,
        "dex": "dex",
        "confidence": "high",
        "commitment": "finalized",
        "emitted_at": 99,
    }  # fmt: skip
    assert (second.price_usd, second.pnl_sol, second.pnl_usd) == (200, Decimal("4.4"), 500)
    assert (second.unmatched_amount, second.position_amount) == (1, 0)


def test_an_unpriced_trade_says_so_and_a_nameless_mint_stands_for_itself() -> None:
    (trade,) = booked((raw_trade(leg(A, 1), Leg(B, 10, 1)), Value(None, None)), symbols={A: ""})
    assert not trade.priced
    assert trade.price_usd is trade.value_usd is trade.value_sol is trade.pnl_usd is None
    assert trade.pnl_sol == 0
    assert trade.unmatched_amount == Decimal("0.000001")
    assert trade.position_amount == 1
    assert (trade.token_in.symbol, trade.token_out.symbol) == (A, B)


def test_a_worthless_trade_is_priced_at_nothing() -> None:
    (trade,) = booked((raw_trade(leg(SOL, 1), leg(A, 10**18), "buy"), Value(1, 0)), symbols={})
    assert (trade.price_usd, trade.value_usd, trade.priced) == (0, 0, True)
    assert json.loads(encoder.encode(trade))["value_sol"] == 1e-9
