"""The ledger: what is always true of it, and each of its rules by example."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wd_server.errors import InternalError
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.ledger import Ledger, Outcome
from wd_server.trading.lots import CostBasis, Lots, OpenPosition
from wd_server.trading.postings import Posting, PostingKind
from wd_server.trading.prices import Value
from wd_server.trading.programs import SOL, USDC, USDT
from wd_server.trading.summary import Position, Summary, position_of
from wd_server.trading.trade import Action, CostBasisMethod, Leg, RawTrade

A, B, C = "Amint", "Bmint", "Cmint"
TOKENS = (A, B, C)
BASES: tuple[CostBasisMethod, ...] = ("fifo", "average")
NOTHING = Value(None, None)

both_bases = pytest.mark.parametrize("basis", BASES)


def leg(mint: str, raw: int) -> Leg:
    return Leg(mint, raw, 9 if mint == SOL else 6)


def raw_trade(
    action: Action, sold: Leg, bought: Leg, fee: int = 0, at: int = 1_750_000_000
) -> RawTrade:
    return RawTrade("sig", 1, at, action, sold, bought, fee, "dex", "high")


def buy(ledger: Ledger, mint: str, raw: int, lamports: int, nanousd: int | None = None) -> Outcome:
    trade = raw_trade("buy", leg(SOL, lamports), leg(mint, raw), fee=5000)
    return ledger.record_trade(trade, Value(lamports, nanousd))


def sell(ledger: Ledger, mint: str, raw: int, lamports: int, nanousd: int | None = None) -> Outcome:
    trade = raw_trade("sell", leg(mint, raw), leg(SOL, lamports), fee=5000)
    return ledger.record_trade(trade, Value(lamports, nanousd))


def transfer(ledger: Ledger, mint: str, raw: int, address: str = "") -> None:
    """Without a trade: from somebody else (positive), or to somebody else."""
    kind: PostingKind = "received" if raw > 0 else "sent"
    posting = Posting(kind, mint, raw, 9 if mint == SOL else 6, address)
    ledger.record(Interpretation((), None, (posting,)), ())


def lamports_of(sol: Decimal | None) -> int:
    assert sol is not None
    return int(sol * 10**9)


def held(ledger: Ledger) -> dict[str, Position]:
    return {position.mint: position for position in ledger.positions()}


# Histories for the properties: every kind of thing that can happen, small numbers so that
# roundings, exact closings and overdrafts come up often.

raws = st.one_of(st.integers(1, 60), st.integers(1, 2**63))
values = st.one_of(st.integers(0, 100), st.integers(0, 10**15))
mints = st.sampled_from((*TOKENS, USDC, USDT))
maybe = st.one_of(st.none(), values)

buys = st.tuples(st.just("buy"), mints, raws, st.just(SOL), raws, maybe, maybe)
sells = st.tuples(st.just("sell"), st.just(SOL), raws, mints, raws, maybe, maybe)
stable_buys = st.tuples(
    st.just("buy"), st.sampled_from(TOKENS), raws, st.sampled_from((USDC, USDT)), raws, maybe, maybe
)
swaps = st.tuples(st.just("swap"), mints, raws, mints, raws, maybe, maybe)
transfers = st.tuples(
    st.just("transfer"), mints, st.integers(-(2**62), 2**62) | st.integers(-60, 60)
)
histories = st.lists(st.one_of(buys, sells, stable_buys, swaps, transfers), max_size=30)


def play(ledger: Ledger, history: list[Any]) -> list[Outcome]:
    outcomes = []
    for step in history:
        if step[0] == "transfer":
            transfer(ledger, step[1], step[2])
        else:
            action, bought, bought_raw, sold, sold_raw, lamports, nanousd = step
            trade = raw_trade(action, leg(sold, sold_raw), leg(bought, bought_raw), fee=7)
            outcomes.append(ledger.record_trade(trade, Value(lamports, nanousd)))
    return outcomes


@settings(max_examples=150, deadline=None)
@given(histories, st.sampled_from(BASES))
def test_nothing_held_unmatched_or_costing_is_ever_negative(
    history: list[Any], basis: CostBasisMethod
) -> None:
    ledger = Ledger(basis)
    for step in history:
        for outcome in play(ledger, [step]):
            assert outcome.position_raw >= 0
            assert outcome.unmatched_raw >= 0
            assert outcome.cost_lamports >= 0
            assert outcome.cost_nanousd >= 0
        for position in ledger.positions():
            assert position.amount > 0
            assert 0 <= position.unknown_amount <= position.amount
            assert (position.cost_sol or 0) >= 0
            assert (position.cost_usd or 0) >= 0


@settings(max_examples=100, deadline=None)
@given(histories, histories, st.sampled_from(BASES))
def test_a_checkpoint_at_any_point_changes_nothing(
    before: list[Any], after: list[Any], basis: CostBasisMethod
) -> None:
    straight = Ledger(basis)
    play(straight, before)
    restored = Ledger.from_bytes(straight.to_bytes())
    assert restored.cost_basis == basis
    assert play(straight, after) == play(restored, after)
    assert straight.summary() == restored.summary()
    assert straight.positions() == restored.positions()
    assert straight.to_bytes() == restored.to_bytes()


sol_trades = st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 10**12)), min_size=1)


@settings(deadline=None)
@given(sol_trades, st.lists(st.integers(1, 10**13), max_size=10), st.data())
def test_fifo_and_average_agree_once_everything_known_is_sold(
    purchases: list[tuple[int, int]], sales: list[int], data: st.DataObject
) -> None:
    ledgers = [Ledger(basis) for basis in BASES]
    total = sum(raw for raw, _ in purchases)
    for raw, lamports in purchases:
        for ledger in ledgers:
            buy(ledger, A, raw, lamports, lamports * 150)
    for wanted in [*sales, total]:
        left = total
        if not left:
            break
        raw = min(wanted, left)
        total -= raw
        proceeds = data.draw(st.integers(0, 10**12))
        for ledger in ledgers:
            sell(ledger, A, raw, proceeds, proceeds * 150)
    fifo, average = (msgspec.structs.replace(x.summary(), cost_basis="fifo") for x in ledgers)
    assert fifo == average
    assert fifo.open_positions == 0


def totals_without_counts(ledger: Ledger) -> Summary:
    return msgspec.structs.replace(
        ledger.summary(),
        trades=0,
        buys=0,
        sells=0,
        priced_trades=0,
        unpriced_trades=0,
        fees_sol=Decimal(0),
        net_pnl_sol=Decimal(0),
    )


@settings(max_examples=100, deadline=None)
@given(
    parts=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
    each=st.tuples(st.integers(1, 10**6), st.integers(0, 10**6)),
    other=st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)),
    extra=st.integers(0, 10**12),
    kind=st.sampled_from(["buy", "sell"]),
    basis=st.sampled_from(BASES),
)
def test_splitting_a_trade_in_two_changes_no_total(
    parts: tuple[int, int],
    each: tuple[int, int],
    other: tuple[int, int],
    extra: int,
    kind: str,
    basis: CostBasisMethod,
) -> None:
    """`each` is units and lamports a part, so that both halves have the same price exactly. The
    sale may exceed what is held, and it may leave something (`extra`) behind."""
    raw, lamports = each
    books = []
    for split in ([sum(parts)], parts):
        ledger = Ledger(basis)
        buy(ledger, A, *other, nanousd=other[1] * 140)
        if extra:
            buy(ledger, A, extra, 12_345_678_901, nanousd=777)
        for n in split:
            trade = buy if kind == "buy" else sell
            trade(ledger, A, n * raw, n * lamports, nanousd=n * lamports * 150)
        sell(ledger, A, other[0] // 2 + 1, 10**9, nanousd=150 * 10**9)
        books.append(ledger)
    whole, halves = books
    assert totals_without_counts(whole) == totals_without_counts(halves)
    assert whole.positions() == halves.positions()


@settings(deadline=None)
@given(st.lists(st.tuples(mints, st.integers(-(10**9), 10**9))), st.sampled_from(BASES))
def test_transfers_never_make_a_profit(
    moves: list[tuple[str, int]], basis: CostBasisMethod
) -> None:
    ledger = Ledger(basis)
    for mint, raw in moves:
        transfer(ledger, mint, raw)
    summary = ledger.summary()
    assert summary.trades == summary.tokens_traded == 0
    assert summary.realized_pnl_sol == summary.unmatched_sol == summary.transferred_cost_sol == 0


@settings(deadline=None)
@given(st.integers(1, 10**15), st.integers(1, 10**15), st.integers(0, 10**15))
def test_selling_what_was_only_received_realizes_nothing(
    received: int, sold: int, proceeds: int
) -> None:
    for basis in BASES:
        ledger = Ledger(basis)
        transfer(ledger, A, received)
        outcome = sell(ledger, A, sold, proceeds)
        assert (outcome.pnl_lamports, outcome.unmatched_raw) == (None, sold)
        summary = ledger.summary()
        assert (summary.realized_pnl_sol, summary.win_rate) == (None, None)
        assert lamports_of(summary.unmatched_sol) == proceeds


# The rules, one by one.


def test_fifo_sells_the_oldest_and_average_the_pool() -> None:
    gains = []
    for basis in BASES:
        ledger = Ledger(basis)
        buy(ledger, A, 100, 1000)
        buy(ledger, A, 100, 3000)
        outcome = sell(ledger, A, 100, 2500)
        gains.append((outcome.pnl_lamports, outcome.cost_lamports, outcome.position_raw))
    assert gains == [(1500, 1000, 100), (500, 2000, 100)]


@both_bases
def test_a_buy_has_no_pnl_and_says_what_is_held(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 40, 1000)
    outcome = buy(ledger, A, 2, 1000, 150_000)
    assert outcome == Outcome(None, None, 1000, 150_000, 0, 42)


@both_bases
def test_of_a_sale_of_more_than_was_bought_only_the_known_share_counts(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 1000, 100_000)
    outcome = sell(ledger, A, 400, 8000, 1_200_000)
    assert outcome == Outcome(1000, 200_000, 1000, 100_000, 300, 0)
    assert lamports_of(ledger.summary().unmatched_sol) == 6000
    assert ledger.positions() == []


def test_units_received_are_sold_in_their_turn_under_fifo_and_in_their_share_under_average() -> (
    None
):
    unmatched = []
    for basis in BASES:
        ledger = Ledger(basis)
        transfer(ledger, A, 100)
        buy(ledger, A, 100, 1000)
        outcome = sell(ledger, A, 100, 2000)
        unmatched.append((outcome.unmatched_raw, outcome.pnl_lamports))
    assert unmatched == [(100, None), (50, 500)]


@both_bases
def test_a_transfer_out_takes_its_cost_along_without_a_result(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 1000)
    transfer(ledger, A, -40)
    assert lamports_of(ledger.summary().transferred_cost_sol) == 400
    assert sell(ledger, A, 60, 600).pnl_lamports == 0
    transfer(ledger, A, -1)
    assert ledger.positions() == []


@both_bases
def test_a_transfer_out_of_more_than_is_held_leaves_nothing(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 1000)
    transfer(ledger, A, -(2**64))
    transfer(ledger, B, -5)
    assert ledger.positions() == []
    assert lamports_of(ledger.summary().transferred_cost_sol) == 1000


@both_bases
def test_a_swap_with_a_value_realizes_it_and_passes_it_on_as_cost(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 1000, 100_000)
    outcome = ledger.record_trade(raw_trade("swap", leg(A, 100), leg(B, 7)), Value(1500, 160_000))
    assert outcome == Outcome(500, 60_000, 1000, 100_000, 0, 7)
    assert sell(ledger, B, 7, 1600, 165_000).pnl_lamports == 100


@both_bases
def test_a_swap_without_a_value_realizes_nothing_until_sol_comes_back(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 1000, 100_000)
    outcome = ledger.record_trade(raw_trade("swap", leg(A, 100), leg(B, 7)), NOTHING)
    assert outcome == Outcome(None, None, 1000, 100_000, 0, 7)
    assert sell(ledger, B, 7, 1600, 165_000) == Outcome(600, 65_000, 1000, 100_000, 0, 0)


@both_bases
def test_a_swap_without_a_value_passes_the_unknown_share_on_too(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 60, 1000)
    ledger.record_trade(raw_trade("swap", leg(A, 100), leg(B, 1000)), NOTHING)
    outcome = sell(ledger, B, 1000, 3000)
    assert (outcome.unmatched_raw, outcome.pnl_lamports) == (400, 800)


@both_bases
def test_a_sale_for_usdc_without_a_price_of_sol_pays_out_when_usdc_is_sold(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 10**9)
    sale = raw_trade("sell", leg(A, 100), leg(USDC, 300_000_000))
    assert ledger.record_trade(sale, Value(None, 300 * 10**9)).pnl_lamports is None
    back = sell(ledger, USDC, 300_000_000, 2 * 10**9, 300 * 10**9)
    assert (back.pnl_lamports, back.pnl_nanousd) == (10**9, 0)


@both_bases
def test_what_was_bought_with_deposited_usdc_has_a_cost_in_usd_and_none_in_sol(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    transfer(ledger, USDC, 500_000_000)
    first = raw_trade("buy", leg(USDC, 200_000_000), leg(A, 100))
    paid = ledger.record_trade(first, Value(None, 200 * 10**9))
    assert paid == Outcome(None, None, 0, 200 * 10**9, 0, 100)
    outcome = sell(ledger, A, 100, 2 * 10**9, 250 * 10**9)
    assert outcome == Outcome(None, 50 * 10**9, 0, 200 * 10**9, 0, 0)
    summary = ledger.summary()
    assert (summary.realized_pnl_sol, summary.realized_pnl_usd) == (None, 50)
    assert (summary.unmatched_sol, summary.unmatched_usd, summary.deposited_sol) == (0, 0, 2)
    assert held(ledger)[USDC].cost_usd == 300
    assert held(ledger)[USDC].cost_sol is None


@both_bases
def test_a_buy_with_deposited_usdc_costs_its_value_where_the_price_of_sol_is_known(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    transfer(ledger, USDC, 200_000_000)
    first = raw_trade("buy", leg(USDC, 200_000_000), leg(A, 100))
    ledger.record_trade(first, Value(10**9, 200 * 10**9))
    outcome = sell(ledger, A, 100, 3 * 10**9, 600 * 10**9)
    assert (outcome.pnl_lamports, outcome.unmatched_raw) == (2 * 10**9, 0)
    assert (ledger.summary().unmatched_sol, ledger.summary().deposited_sol) == (0, 1)


@both_bases
def test_usdc_that_never_came_is_unmatched_in_sol_and_its_face_in_usd(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    trade = raw_trade("buy", leg(USDC, 200_000_000), leg(A, 100))
    ledger.record_trade(trade, Value(None, 200 * 10**9))
    outcome = sell(ledger, A, 100, 2 * 10**9, 250 * 10**9)
    assert outcome == Outcome(None, 50 * 10**9, 0, 200 * 10**9, 0, 0)
    assert (ledger.summary().unmatched_sol, ledger.summary().deposited_sol) == (2, 0)


@both_bases
def test_usdc_never_makes_a_profit_in_usd(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    buy(ledger, USDC, 150_000_000, 10**9, 150 * 10**9)
    # Twice what is known to be held: its other half is worth its face just as well.
    outcome = sell(ledger, USDC, 300_000_000, 3 * 10**9, 300 * 10**9)
    assert outcome.pnl_nanousd == 0
    assert outcome.pnl_lamports == 5 * 10**8
    assert ledger.summary().realized_pnl_usd == ledger.summary().unmatched_usd == 0


@both_bases
def test_pnl_in_usd_needs_the_value_of_the_sale_and_of_every_purchase(
    basis: CostBasisMethod,
) -> None:
    ledger = Ledger(basis)
    buy(ledger, A, 100, 1000, None)
    assert sell(ledger, A, 50, 1000, 100_000).pnl_nanousd is None
    assert sell(ledger, A, 50, 1000, 100_000).pnl_lamports == 500
    buy(ledger, A, 100, 1000, 100_000)
    assert sell(ledger, A, 50, 1000, None).pnl_nanousd is None
    assert sell(ledger, A, 50, 1000, 100_000).pnl_nanousd == 50_000
    summary = ledger.summary()
    assert (summary.priced_trades, summary.unpriced_trades) == (4, 2)
    assert summary.realized_pnl_usd == Decimal("0.00005")


@both_bases
def test_one_purchase_without_a_price_leaves_the_whole_sale_without_pnl_in_usd(
    basis: CostBasisMethod,
) -> None:
    for prices in ((None, 100_000), (100_000, None)):
        ledger = Ledger(basis)
        for nanousd in prices:
            buy(ledger, A, 50, 1000, nanousd)
        outcome = sell(ledger, A, 100, 3000, 300_000)
        assert (outcome.pnl_lamports, outcome.pnl_nanousd) == (1000, None)
        assert ledger.summary().realized_pnl_usd is None


@both_bases
def test_a_token_bought_back_is_counted_once_and_keeps_its_result(basis: CostBasisMethod) -> None:
    ledger = Ledger(basis)
    for proceeds in (500, 2000):  # at first a loss, then the token as a whole is won
        buy(ledger, A, 100, 1000)
        sell(ledger, A, 100, proceeds)
        ledger = Ledger.from_bytes(ledger.to_bytes())
    buy(ledger, B, 100, 1000)
    sell(ledger, B, 100, 999)
    sell(ledger, C, 100, 999)
    summary = ledger.summary()
    assert (summary.tokens_traded, summary.tokens_sold, summary.tokens_won) == (3, 2, 1)
    assert summary.win_rate == Decimal("0.5")


@both_bases
def test_an_empty_ledger_sums_up_to_nothing(basis: CostBasisMethod) -> None:
    summary = Ledger.from_bytes(Ledger(basis).to_bytes()).summary()
    assert summary.trades == summary.realized_pnl_sol == summary.open_positions == 0
    assert summary.win_rate is summary.first_trade_at is summary.last_trade_at is None


def test_the_summary_knows_the_volume_and_the_time_it_spans() -> None:
    ledger = Ledger("fifo")
    ledger.record_trade(
        raw_trade("buy", leg(SOL, 2 * 10**9), leg(A, 100), 5000, at=100),
        Value(2 * 10**9, 300 * 10**9),
    )
    ledger.record_trade(raw_trade("swap", leg(A, 100), leg(B, 100), 5000, at=300), NOTHING)
    summary = ledger.summary()
    assert (summary.volume_sol, summary.volume_usd) == (2, 300)
    assert (summary.first_trade_at, summary.last_trade_at) == (100, 300)


def test_a_last_unit_that_rounds_to_unknown_still_shows_its_cost() -> None:
    ledger = Ledger("average")
    transfer(ledger, A, 3)
    buy(ledger, A, 3, 100)
    sell(ledger, A, 5, 50)
    (position,) = ledger.positions()
    assert (position.amount_raw, lamports_of(position.cost_sol or Decimal(0))) == ("1", 17)
    assert position.average_cost_sol is None


def test_a_position_shows_its_cost_a_unit() -> None:
    ledger = Ledger("average")
    buy(ledger, A, 2_000_000, 3 * 10**9, 450 * 10**9)
    buy(ledger, A, 1_000_000, 3 * 10**9)
    transfer(ledger, A, 500_000)
    (position,) = ledger.positions()
    assert position == Position(
        mint=A,
        decimals=6,
        amount=Decimal("3.5"),
        amount_raw="3500000",
        unknown_amount=Decimal("0.5"),
        cost_sol=Decimal(6),
        cost_usd=Decimal(450),
        average_cost_sol=Decimal(2),
        average_cost_usd=Decimal(225),
        realized_pnl_sol=None,
    )


def test_ten_thousand_airdrops_and_three_thousand_closed_tokens_make_a_small_checkpoint() -> None:
    ledger = Ledger("fifo")
    for _ in range(10_000):
        transfer(ledger, A, 1)
    assert len(ledger.to_bytes()) < 500
    for number in range(3000):
        buy(ledger, f"mint{number}", 10**12, 10**9)
        sell(ledger, f"mint{number}", 10**12, 10**9 + number)
    assert len(ledger.to_bytes()) < 3000 * 32
    assert ledger.summary().tokens_traded == 3000


def test_amounts_beyond_64_bits_survive_a_checkpoint() -> None:
    ledger = Ledger("average")
    for _ in range(3):
        buy(ledger, A, 2**64 - 1, 2**64 - 1, 2**80)
    ledger = Ledger.from_bytes(ledger.to_bytes())
    assert sell(ledger, A, 3 * (2**64 - 1), 1).cost_lamports == 3 * (2**64 - 1)


def test_a_checkpoint_has_the_bytes_that_earlier_versions_wrote() -> None:
    stored = (
        b'[2,"fifo",[2,2,0,0,3,2,2,1,1819,152900,1019,152900,399,-100,0,0,0,809,809,0,0,'
        b'0,0,0,0,0,0,0,0,0,0,0,0,300,200,100,2,2,1,1750000000,1750000000],{"Amint":[6,3'
        b'0,[[100,70,1000,150000,0,0,0,0]],400,true,null,false],"Bmint":[6,7,[[7,0,0,0,7'
        b',7,0,0]],null,false,null,false]},{"339692757aab53e5":-1},{"jupiter_limit":[0,{'
        b'"Amint":[6,20,[[20,0,200,30000,0,0,0,0]]]},[["Amint",6,20,"order"]],0]},{"fri'
        b'end":[0,{"Amint":[6,10,[[10,0,100,15000,0,0,0,0]]]},[],0]}]'
    )
    ledger = Ledger("fifo")
    buy(ledger, A, 100, 1000, 150_000)
    sell(ledger, A, 40, 800)
    transfer(ledger, B, 7)
    buy(ledger, C, 5, 10, 1500)
    sell(ledger, C, 5, 9, 1400)
    transfer(ledger, A, -10, "friend")
    order = Posting("custody_out", A, -20, 6, "order", "jupiter_limit")
    ledger.record(Interpretation((), "escrow", (order,)), ())
    assert ledger.to_bytes() == stored
    assert Ledger.from_bytes(stored).to_bytes() == stored


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'[99,"fifo",[],{},{},{},{}]', b'[2,"lifo",[],{},{},{},{}]']
)
def test_a_checkpoint_that_cannot_be_read_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(InternalError, match="analysed anew"):
        Ledger.from_bytes(data)


def test_a_position_is_worth_what_its_token_costs_now_and_only_known_costs_are_compared() -> None:
    held = OpenPosition(6, 0, [])
    held.add(CostBasis(3_000_000, 10, 6_000_000_000), "fifo")
    held.add(CostBasis(1_000_000, 0, 0, 1_000_000, 1_000_000), "fifo")
    position = position_of("mint", held, Decimal("2.5"))
    assert position.value_usd == 10
    assert position.unrealized_pnl_usd == Decimal("1.5")
    unpriced = position_of("mint", held)
    assert (unpriced.price_usd, unpriced.value_usd, unpriced.unrealized_pnl_usd) == (None,) * 3
    gift = OpenPosition(6, 0, [])
    gift.add(CostBasis(5, 0, 0, 5, 5), "fifo")
    assert position_of("mint", gift, Decimal(1)).unrealized_pnl_usd is None


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 60), st.data())
def test_a_lot_never_gives_or_keeps_more_units_without_a_cost_than_units(
    quantity: int, unmatched: int, unpriced: int, data: st.DataObject
) -> None:
    unmatched = min(quantity, unmatched)
    unpriced = min(quantity - unmatched, unpriced)
    lots = Lots(6, 0, [])
    lots.add(CostBasis(quantity, 7, 7, unmatched, unmatched, unpriced, unpriced), "average")
    while lots.quantity:
        given = lots.pieces(data.draw(st.integers(1, lots.quantity)))[0]
        for one in (given, lots.cost()):
            assert 0 <= one.unknown_sol <= one.quantity
            assert 0 <= one.unknown_usd <= one.quantity
            assert min(one.unmatched_sol, one.unpriced_sol) >= 0
        assert not lots.quantity or not unpriced or lots.cost().has_unpriced_usd
