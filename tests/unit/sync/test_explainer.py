"""A stored transaction is explained: its postings, the lots that its sales consumed, its prices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from simulated import simulated

from wd_server.chain.payloads import Transaction
from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import AtCapacity
from wd_server.events.event import Movement
from wd_server.events.ids import EventId
from wd_server.sync import explainer as explaining
from wd_server.sync.book import Book
from wd_server.sync.explainer import Explainer
from wd_server.sync.explanation import ExplainedTransaction
from wd_server.sync.interpreted import InterpretedTransaction, prices_for
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.postings import Posting, balance_changes
from wd_server.trading.programs import SOL
from wd_server.trading.trade import CostBasisMethod, Leg, RawTrade, Trade

WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
TOKEN, OTHER = "TokenMint", "OtherMint"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
NOW = 1_800_000_000.0
AT = 1_700_000_000
LAMPORTS = 10**9


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def whole() -> None:
            await test(*arguments, **named)

        asyncio.run(whole())

    return run


def transaction(
    signature: str, slot: int, interpretation: Interpretation, index: int | None = None
) -> InterpretedTransaction:
    return InterpretedTransaction(slot, signature, False, interpretation, AT + slot, index)


def traded(
    signature: str, slot: int, sold: Leg, bought: Leg, *beside: Posting, index: int | None = None
) -> InterpretedTransaction:
    action: Any = "buy" if sold.mint == SOL else "sell" if bought.mint == SOL else "swap"
    trade = RawTrade(signature, slot, AT + slot, action, sold, bought, 5000, "raydium", "high")
    legs = (
        Posting("network_fee", SOL, -5000, 9),
        Posting("sold", sold.mint, -sold.raw, sold.decimals),
        Posting("bought", bought.mint, bought.raw, bought.decimals),
    )
    return transaction(signature, slot, Interpretation((trade,), None, (*legs, *beside)), index)


def bought(signature: str, slot: int, raw: int, sol: int) -> InterpretedTransaction:
    return traded(signature, slot, Leg(SOL, sol * LAMPORTS, 9), Leg(TOKEN, raw, 6))


def sold(signature: str, slot: int, raw: int, sol: int) -> InterpretedTransaction:
    return traded(signature, slot, Leg(TOKEN, raw, 6), Leg(SOL, sol * LAMPORTS, 9))


def received(signature: str, slot: int, raw: int) -> InterpretedTransaction:
    posting = Posting("received", TOKEN, raw, 6, counterparty="friend")
    return transaction(signature, slot, Interpretation((), "one_sided", (posting,)))


class StoredWallet:
    """A wallet's book and the journal that has its entries."""

    def __init__(self, journal: SqliteJournal, cost_basis: CostBasisMethod) -> None:
        self.journal = journal
        self.cost_basis = cost_basis
        self.explainer = Explainer(journal)

    async def begin(self) -> None:
        lease = await self.journal.acquire(WALLET)
        assert lease is not None
        self.lease = lease
        self.book = Book(WALLET, self.cost_basis, await self.journal.begin(lease, NOW))
        self.book.settle()  # so that all of it may still change places

    async def store(self, *transactions: InterpretedTransaction, price: str = "150") -> None:
        prices = {key: Decimal(price) for key in prices_for(transactions)}
        recorded = self.book.inserted(transactions)
        entries = self.book.record(recorded, prices, {}, NOW)
        await self.journal.append(self.lease, self.book.epoch, entries, self.book.checkpoint(), NOW)

    async def explained(self, signature: str) -> ExplainedTransaction:
        explanation = await self.explainer.explain(WALLET, signature)
        assert explanation is not None
        return explanation

    def event_id(self, seq: int) -> str:
        return str(EventId(self.book.epoch, seq))


@asynccontextmanager
async def stored_wallet(
    folder: Path, cost_basis: CostBasisMethod = "fifo"
) -> AsyncIterator[StoredWallet]:
    journal = SqliteJournal(folder / "journal.db")
    await journal.open()
    try:
        wallet = StoredWallet(journal, cost_basis)
        await wallet.begin()
        yield wallet
    finally:
        await journal.close()


def lots_of(
    explanation: ExplainedTransaction,
) -> list[tuple[str | None, int, Decimal | None, bool]]:
    (trade,) = explanation.trades
    return [(lot.signature, int(lot.amount_raw), lot.cost_sol, lot.known) for lot in trade.lots]


@in_loop
async def test_a_sale_says_which_purchases_it_consumed_and_what_they_cost(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(
            bought("one", 1, 100, 1), bought("two", 2, 100, 3), sold("sale", 3, 150, 5)
        )
        explanation = await wallet.explained("sale")
        assert lots_of(explanation) == [
            ("one", 100, Decimal(1), True),
            ("two", 50, Decimal("1.5"), True),
        ]
        (trade,) = explanation.trades
        assert trade.trade.pnl_sol == Decimal("2.5")
        assert [lot.cost_usd for lot in trade.lots] == [150, 225]
        assert trade.id == wallet.event_id(3)
        assert (explanation.slot, explanation.timestamp) == (3, AT + 3)
        assert explanation.reason is None
        assert (await wallet.explained("one")).trades[0].lots == []


@in_loop
async def test_units_that_nobody_bought_are_a_lot_of_unknown_cost(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(received("gift", 1, 40), sold("sale", 2, 50, 5))
        assert lots_of(await wallet.explained("sale")) == [
            ("gift", 40, None, False),
            (None, 10, None, False),
        ]


@in_loop
async def test_under_average_cost_a_sale_consumed_a_share_of_one_pool(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path, "average") as wallet:
        await wallet.store(
            bought("one", 1, 100, 1),
            sold("early", 2, 20, 5),
            bought("two", 3, 120, 3),
            sold("late", 4, 100, 5),
        )
        assert lots_of(await wallet.explained("early")) == [(None, 20, Decimal("0.2"), True)]
        assert lots_of(await wallet.explained("late")) == [(None, 100, Decimal("1.9"), True)]


@in_loop
async def test_it_says_where_each_value_comes_from(tmp_path: Path) -> None:
    swap = traded("swap", 1, Leg(TOKEN, 3_000_000, 6), Leg(OTHER, 6, 0))
    dollars = traded("dollars", 2, Leg(USDC, 300_000_000, 6), Leg(OTHER, 1, 0))
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(swap, dollars, bought("buy", 3, 100, 2))
        found = {
            signature: (await wallet.explained(signature)).trades[0]
            for signature in ("swap", "dollars", "buy")
        }
        sources = {
            signature: (each.value_sol_from, each.value_usd_from)
            for signature, each in found.items()
        }
        assert sources == {
            "swap": ("quote", "quote"),
            "dollars": ("quote", "stable_coin_at_face"),
            "buy": ("sol_leg", "quote"),
        }
        quotes = {
            signature: [(quote.mint, quote.minute, quote.price_usd) for quote in each.quotes]
            for signature, each in found.items()
        }
        minute = AT // 60 * 60
        assert quotes == {
            "swap": [(SOL, minute, 150), (TOKEN, minute, 150), (OTHER, minute, 75)],
            "dollars": [(SOL, minute, 150)],
            "buy": [(SOL, minute, 150)],
        }


@in_loop
async def test_its_postings_are_all_that_the_transaction_moved(tmp_path: Path) -> None:
    left = Posting("leftover", OTHER, 7, 0)
    one = traded("route", 1, Leg(SOL, LAMPORTS, 9), Leg(TOKEN, 100, 6), left)
    gift = received("gift", 2, 40)
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(one, gift)
        for each in (one, gift):
            explanation = await wallet.explained(each.signature)
            told = [
                Posting(posting.kind, posting.mint, int(posting.amount_raw), posting.decimals)
                for posting in explanation.postings
            ]
            assert balance_changes(told) == balance_changes(each.interpretation.postings)
            assert {posting.kind for posting in told} == {
                posting.kind for posting in each.interpretation.postings
            }
        assert explanation.reason == "one_sided"
        assert explanation.trades == []


@in_loop
async def test_a_correction_shows_what_was_told_before(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(bought("one", 2, 100, 2), sold("sale", 5, 100, 5))
        before = await wallet.explained("sale")
        assert lots_of(before) == [("one", 100, Decimal(2), True)]
        assert before.earlier == []
        await wallet.store(bought("zero", 1, 100, 1))  # the chain had one more, before all others
        after = await wallet.explained("sale")
        assert lots_of(after) == [("zero", 100, Decimal(1), True)]
        (earlier,) = after.earlier
        assert earlier.id == before.trades[0].id == wallet.event_id(2)
        assert isinstance(earlier.trade, Trade)
        assert earlier.trade.pnl_sol == 3
        assert after.trades[0].trade.pnl_sol == 4
        assert after.trades[0].trade.replaces == earlier.id


@in_loop
async def test_a_movement_that_became_a_trade_is_an_earlier_version(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(received("it", 5, 40))
        wallet.book.inserted([received("before", 4, 1)])
        await wallet.store(bought("it", 5, 40, 1))
        explanation = await wallet.explained("it")
        assert explanation.reason is None
        (earlier,) = explanation.earlier
        assert isinstance(earlier.movement, Movement)
        assert earlier.trade is None
        assert earlier.id == wallet.event_id(1)


@in_loop
async def test_what_is_not_stored_has_no_explanation(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path) as wallet:
        assert await wallet.explainer.explain(WALLET, "none") is None
        await wallet.store(bought("one", 1, 100, 1))
        assert await wallet.explainer.explain(WALLET, "none") is None
        assert await wallet.explainer.explain("another wallet", "one") is None


@in_loop
async def test_whoever_asks_in_order_has_the_journal_gone_through_once(tmp_path: Path) -> None:
    size = 30
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(*(bought(f"buy {n}", n, 100, 1) for n in range(size)))
        statistics = wallet.explainer.statistics
        for n in range(size):
            await wallet.explained(f"buy {n}")
            await wallet.explained(f"buy {n}")
        assert (statistics.explanations, statistics.recorded) == (2 * size, size)
        await wallet.explained("buy 4")
        assert statistics.recorded == size + 5
        await wallet.store(bought("new", size, 100, 1))
        await wallet.explained("new")
        assert statistics.recorded == size + 5 + size + 1


@in_loop
async def test_others_on_the_loop_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "SLICE_SECONDS", 0.0)
    size = 50
    seen = set()

    async def look(explainer: Explainer) -> None:
        while True:
            seen.add(explainer.statistics.recorded)
            await asyncio.sleep(0)

    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(*(bought(f"buy {n}", n, 100, 1) for n in range(size)))
        looking = asyncio.create_task(look(wallet.explainer))
        await wallet.explained(f"buy {size - 1}")
        looking.cancel()
    assert seen >= set(range(size))


@in_loop
async def test_one_too_many_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "WAITING_MAX", 3)
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(bought("one", 1, 100, 1))
        asked = [wallet.explainer.explain(WALLET, "one") for _ in range(4)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        (refusal,) = [each for each in answers if not isinstance(each, ExplainedTransaction)]
        assert isinstance(refusal, AtCapacity)
        assert refusal.retry_after
        assert wallet.explainer.statistics.refused == 1
        await wallet.explained("one")


@in_loop
async def test_a_history_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "EXPLAINED_ENTRIES_MAX", 1)
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(bought("one", 1, 100, 1))
        await wallet.explained("one")
        await wallet.store(bought("two", 2, 100, 1))
        with pytest.raises(AtCapacity, match="too long"):
            await wallet.explained("one")
        assert wallet.explainer.statistics.refused == 1


@in_loop
async def test_only_the_wallets_used_last_are_kept(tmp_path: Path) -> None:
    async with stored_wallet(tmp_path) as wallet:
        await wallet.store(bought("one", 1, 100, 1))
        statistics = wallet.explainer.statistics
        await wallet.explained("one")
        for n in range(explaining.KEPT_WALLETS):
            other = f"{n}"
            lease = await wallet.journal.acquire(other)
            assert lease is not None
            await wallet.journal.begin(lease, NOW)
            await wallet.explainer.explain(other, "none")
        await wallet.explained("one")
        assert statistics.recorded == 2


@pytest.fixture(scope="module")
def market() -> tuple[str, list[Transaction]]:
    return simulated(300)


@pytest.mark.parametrize("basis", ["fifo", "average"])
@in_loop
async def test_the_lots_of_a_simulated_wallet_are_what_its_trades_say(
    market: tuple[str, list[Transaction]], tmp_path: Path, basis: CostBasisMethod
) -> None:
    address, transactions = market
    sales = 0
    async with stored_wallet(tmp_path, basis) as wallet:
        interpreted = Book(address, basis, 1).interpret(transactions, 0)
        await wallet.store(*interpreted)
        for each in interpreted:
            explanation = await wallet.explainer.explain(WALLET, each.signature)
            if explanation is None:
                assert not each.interpretation.postings
                continue
            for told in explanation.trades:
                trade = told.trade
                if trade.token_in.mint == SOL:
                    continue
                consumed = sum(int(lot.amount_raw) for lot in told.lots)
                assert consumed == int(trade.token_in.amount_raw)
                if trade.action == "sell" and all(lot.known for lot in told.lots):
                    assert trade.value_sol is not None
                    cost = sum(lot.cost_sol or 0 for lot in told.lots)
                    assert trade.value_sol - cost == trade.pnl_sol
                    sales += 1
    assert sales > 20
