"""Whatever a listing leaves out, the books end with what the chain has, or say what differs."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from decimal import Decimal
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import msgspec
import pytest
from simulated import simulated

from wd_server.chain.accounts import AccountsAnswer, HeldTokens
from wd_server.chain.faults import unavailable
from wd_server.chain.history import NOTHING_KNOWN, Fetched, Listed, Newest
from wd_server.chain.listing import Cursor, ListedSignature
from wd_server.chain.payloads import Transaction, UnreadableTransaction
from wd_server.chain.quotes import NoQuotes
from wd_server.chain.turns import Turn
from wd_server.embedded.journal import SqliteJournal
from wd_server.events import event, kinds
from wd_server.events.event import Reconciliation, SolBalance
from wd_server.journal.base import Head, Lease
from wd_server.sync import missing
from wd_server.sync import sync_pass as running
from wd_server.sync.book import Book
from wd_server.sync.interpreted import sliced
from wd_server.sync.sources import NoAccounts, Sources
from wd_server.sync.sync_pass import Known, SyncPass
from wd_server.trading.amounts import coin_of
from wd_server.trading.continuity import STEP, KnownBalances, own_balances
from wd_server.trading.programs import SOL
from wd_server.trading.summary import Summary
from wd_tools.simulator.base58 import encode

SIZE = 120
NOW = 1_800_000_000.0


@cache
def whole() -> tuple[str, tuple[Transaction, ...]]:
    address, made = simulated(SIZE)
    return address, tuple(made)


class Chain:
    """A wallet's transactions, and what its accounts hold after them. As a history and as a reader
    of accounts it is the upstream.

    transactions: all of them, oldest first
    unlisted: signatures that the wallet's listing leaves out
    oldest: the listing begins with this one, if it isn't 0
    final: no transaction above this slot is final
    slot: as of which accounts are told; None: the newest
    extra: what accounts hold beside what the transactions left
    asked: wallets and accounts that it was asked for
    """

    def __init__(self) -> None:
        self.wallet, made = whole()
        self.transactions = copy.deepcopy(list(made))
        self.unlisted: set[str] = set()
        self.damaged: set[str] = set()
        self.oldest = 0
        self.final = inf
        self.slot: int | None = None
        self.extra: dict[str, int] = {}
        self.asked: list[str] = []
        self.on_held: Callable[[], None] = lambda: None

    @property
    def newest(self) -> int:
        return self.transactions[-1].slot

    async def final_slot(self, *, first: bool) -> float:
        return self.final

    async def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
        turn: Turn | None = None,
    ) -> AsyncGenerator[Listed | Newest | Fetched, None]:
        listed = [each for each in self.transactions if each.signature not in self.unlisted]
        listed = listed[self.oldest :]
        if after is not None:
            signatures = [each.signature for each in listed]
            listed = listed[signatures.index(after.signature) + 1 :]
        told = [
            ListedSignature(each.signature, each.slot, each.transaction_index, each.block_time)
            for each in listed
        ]
        yield Listed(len(listed), True, self.oldest > 0, told if known else ())
        new = [
            UnreadableTransaction(each.signature, each.slot, "it is damaged")
            if each.signature in self.damaged
            else each
            for each in listed
            if known.get(each.signature) != each.slot
        ]
        yield Fetched(new, len(listed))

    async def held(self, wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        self.asked.append(wallet)
        slot = self.newest if self.slot is None else self.slot
        state = KnownBalances()
        for each in self.transactions:
            if each.slot <= slot:
                state.take(wallet, own_balances(each, wallet), each.slot, ())
        raws = {account: each.raw or 0 for account, each in state.accounts.items()}
        for account, raw in self.extra.items():
            raws[account] = raws.get(account, 0) + raw
        tokens = [
            HeldTokens(account, each.mint, each.decimals, raws[account])
            for account, each in state.accounts.items()
            if account != wallet
        ]
        self.on_held()
        return [
            AccountsAnswer(slot, raws[wallet]),
            AccountsAnswer(slot, None, tuple(tokens[::2])),
            AccountsAnswer(slot, None, tuple(tokens[1::2])),
        ]

    async def touching(
        self, account: str, before: str | None, after: int, turn: Turn | None = None
    ) -> list[Transaction]:
        self.asked.append(account)
        found = [each for each in self.transactions if account in each.addresses]
        if before is not None:
            found = found[: [each.signature for each in found].index(before)]
        return [each for each in found if each.slot > after]

    def hide(self, at: int) -> Transaction:
        """Leave this one out of the listing."""
        self.unlisted.add(self.transactions[at].signature)
        return self.transactions[at]

    def give(self, at: int, lamports: int) -> None:
        """The wallet's SOL grows by so much before this transaction, and no transaction says so."""
        for each in self.transactions[at:]:
            if self.wallet in each.addresses:
                place = each.addresses.index(self.wallet)
                each.meta.pre_balances[place] += lamports
                each.meta.post_balances[place] += lamports


class NoNames:
    async def symbols(self, mints: object, timeout: float, turn: object = None) -> dict[str, str]:  # noqa: ASYNC109
        return {}


class Ignored:
    def on_progress(self, progress: event.Progress) -> None: ...
    def on_preview(self, preview: event.Preview) -> None: ...
    def on_summary(self, summary: Summary) -> None: ...


class Setup:
    """A wallet's journal, and passes over it. `now`: unix seconds."""

    def __init__(self, journal: SqliteJournal, chain: Chain, accounts: Any = None) -> None:
        self.journal = journal
        self.chain = chain
        self.now = NOW
        self.lease: Lease | None = None
        self.known: Known | None = None
        self.sources = Sources(
            journal,
            chain,
            NoQuotes(),
            NoNames(),
            lambda: self.now,
            "fifo",
            20_000,
            accounts=accounts or chain,
        )

    async def execute(self, known: Known | None = None) -> Head:
        if self.lease is None:
            self.lease = await self.journal.acquire(self.chain.wallet)
        assert self.lease is not None
        sync_pass = SyncPass(self.sources, self.lease, Ignored(), known)
        head = await sync_pass.execute(lambda: True)
        self.known = sync_pass.known
        return head

    async def reconciled(self) -> Reconciliation:
        """Of the newest `complete`."""
        head = await self.execute(self.known)
        entries = await self.journal.read(self.chain.wallet, head.epoch, head.seq - 1, 1, 10**9)
        assert entries[0].kind == kinds.COMPLETE
        complete = msgspec.json.decode(entries[0].payload)["reconciliation"]
        return msgspec.convert(complete, Reconciliation, strict=False)

    async def book(self) -> Book:
        head = await self.journal.head(self.chain.wallet)
        stored = await self.journal.checkpoint(self.chain.wallet)
        assert head is not None
        assert stored is not None
        return Book.restored(self.chain.wallet, "fifo", head.epoch, stored)

    async def trades(self) -> list[tuple[str, int]]:
        """Signatures and slots of the trades that count, as they were stored. One of several parts
        is there once for each."""
        counted: dict[str, list[int]] = {}
        for kind, data in await self.entries():
            if kind == kinds.TRADE:
                slots = counted.setdefault(data["signature"], [])
                assert data["part"] == len(slots)
                slots.append(data["slot"])
            elif kind == kinds.RETRACT:
                del counted[data["signature"]]
        return [(signature, slot) for signature, slots in counted.items() for slot in slots]

    async def entries(self) -> list[tuple[str, dict[str, Any]]]:
        """Kinds and data, oldest first."""
        head = await self.journal.head(self.chain.wallet)
        assert head is not None
        entries = await self.journal.read(self.chain.wallet, head.epoch, 0, 10_000, 10**9)
        return [(entry.kind, msgspec.json.decode(entry.payload)) for entry in entries]


def on(
    tmp_path: Path, chain: Chain, scene: Callable[[Setup], Awaitable[None]], accounts: Any = None
) -> None:
    async def play() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        try:
            await scene(Setup(journal, chain, accounts))
        finally:
            await journal.close()

    asyncio.run(play())


@pytest.fixture
def chain() -> Chain:
    return Chain()


def trades_of(chain: Chain) -> list[tuple[str, int]]:
    book = Book(chain.wallet, "fifo", 0)
    interpreted = book.interpret(chain.transactions, 0)
    return [(each.signature, each.slot) for each in interpreted for _ in each.trades]


def trade_in_the_middle(chain: Chain) -> int:
    """Its place among the transactions: a purchase whose tokens a later trade sells."""
    book = Book(chain.wallet, "fifo", 0)
    interpreted = book.interpret(chain.transactions, 0)
    for at, each in enumerate(interpreted):
        for trade in each.trades:
            mint = trade.bought.mint
            later = (one for after in interpreted[at + 1 :] for one in after.trades)
            if trade.action == "buy" and any(one.sold.mint == mint for one in later):
                return at
    raise AssertionError("the simulated wallet sells nothing that it bought")


def test_books_of_a_whole_history_agree_to_the_lamport(tmp_path: Path, chain: Chain) -> None:
    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason, got.slot) == ("agrees", None, chain.newest)
        book = await setup.book()
        amounts = book.balances.accounts.values()
        lamports = book.balances.amount(chain.wallet)
        assert lamports
        assert got.sol == SolBalance(coin_of(lamports), coin_of(lamports), Decimal(0))
        assert got.opening_sol == 0
        assert got.closing_sol == coin_of(lamports)
        assert got.tokens_agree == len({each.mint for each in amounts if each.raw} - {SOL}) > 10
        assert got.tokens_differ == 0
        assert book.counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_native_and_wrapped_sol_are_one_asset_in_two_accounts(tmp_path: Path, chain: Chain) -> None:
    chain.wallet, chain.transactions = simulated(200)
    state, natives = KnownBalances(), [0]
    for at, each in enumerate(chain.transactions):
        state.take(chain.wallet, own_balances(each, chain.wallet), each.slot, ())
        natives = [one.raw or 0 for one in state.accounts.values() if one.mint == SOL]
        if len(natives) == 2:
            del chain.transactions[at + 1 :]

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert got.status == "agrees"
        assert len(natives) == 2
        assert got.sol is not None
        assert got.sol.chain == coin_of(sum(natives)) == got.closing_sol

    on(tmp_path, chain, scene)


def test_a_transaction_that_the_listing_lacks_is_found_and_entered_in_its_place(
    tmp_path: Path, chain: Chain
) -> None:
    chain.hide(trade_in_the_middle(chain))

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("agrees", None)
        assert await setup.trades() == trades_of(chain)
        book = await setup.book()
        assert book.counts.transactions == SIZE
        assert book.balances.unexplained == {}
        assert book.cursor == Cursor(chain.newest, chain.transactions[-1].signature)

    on(tmp_path, chain, scene)


def test_what_could_not_be_read_is_not_entered_again_by_its_accounts(
    tmp_path: Path, chain: Chain
) -> None:
    chain.damaged.update(each.signature for each in chain.transactions[10:SIZE:10])

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("differs", "unexplained")
        assert set(chain.asked) != {chain.wallet}
        assert (await setup.book()).counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_tokens_sent_to_an_account_that_no_listing_names_are_found_at_the_end(
    tmp_path: Path, chain: Chain
) -> None:
    """As an upstream has it that has only getSignaturesForAddress."""
    for each in chain.transactions:
        if chain.wallet not in each.addresses:
            chain.unlisted.add(each.signature)
    assert chain.unlisted

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("agrees", None)
        book = await setup.book()
        assert book.counts.transactions == SIZE
        whole_book = Book(chain.wallet, "fifo", 0)
        whole_book.record(whole_book.interpret(chain.transactions, 0), {}, {}, NOW)
        held = {each.mint: each.amount_raw for each in book.ledger.positions()}
        assert held == {each.mint: each.amount_raw for each in whole_book.ledger.positions()}
        setup.now += missing.RECONCILE_SECONDS
        again = await setup.reconciled()
        assert again.status == "agrees"
        assert (await setup.book()).counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_what_no_transaction_explains_is_posted_before_the_one_that_shows_it(
    tmp_path: Path, chain: Chain
) -> None:
    at = trade_in_the_middle(chain)
    chain.give(at, 12_345)
    chain.final = 0

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("differs", "unexplained")
        assert got.sol is not None
        assert got.sol.difference == coin_of(12_345)
        assert got.sol.chain - got.sol.books == got.sol.difference
        assert got.closing_sol == got.sol.chain
        assert setup.known is not None
        assert setup.known.book is not None
        steps = {
            each.transaction.signature: each.transaction.steps
            for each in setup.known.book.tail
            if each.transaction.steps
        }
        assert list(steps) == [chain.transactions[at].signature]
        (posting,) = steps[chain.transactions[at].signature]
        assert (posting.kind, posting.mint, posting.raw) == ("unexplained", SOL, 12_345)
        assert posting.place == STEP

    on(tmp_path, chain, scene)


def test_a_balance_that_differs_at_the_end_names_its_account(tmp_path: Path, chain: Chain) -> None:
    async def scene(setup: Setup) -> None:
        book = Book(chain.wallet, "fifo", 0)
        book.record(book.interpret(chain.transactions, 0), {}, {}, NOW)
        account, held = next(
            (account, each)
            for account, each in book.balances.accounts.items()
            if each.mint != SOL and each.raw
        )
        chain.extra = {account: 5, chain.wallet: -7}
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("differs", None)
        assert got.sol is not None
        assert got.sol.difference == coin_of(-7)
        assert got.tokens_differ == 1
        (difference,) = got.differences
        assert (difference.mint, difference.account) == (held.mint, account)
        assert held.raw is not None
        assert (difference.chain_raw, difference.books_raw) == (str(held.raw + 5), str(held.raw))

    on(tmp_path, chain, scene)


def test_a_token_account_that_is_gone_from_the_chain_differs(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = chain.held

    async def without_tokens(wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        native, first, second = await held(wallet, turn)
        return [native, first, AccountsAnswer(second.slot, None)]

    monkeypatch.setattr(chain, "held", without_tokens)

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert got.status == "differs"
        assert got.tokens_differ > 0
        assert {each.chain_raw for each in got.differences} == {"0"}

    on(tmp_path, chain, scene)


def test_what_is_not_final_is_compared_as_of_the_answers_slot(tmp_path: Path, chain: Chain) -> None:
    chain.final = chain.transactions[60].slot
    chain.slot = chain.transactions[90].slot

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.slot) == ("agrees", chain.slot)
        assert got.sol is not None
        assert got.sol.chain != got.closing_sol

    on(tmp_path, chain, scene)


def test_a_node_that_is_behind_the_books_is_asked_again_and_not_believed(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "ASK_AGAIN_SECONDS", 0.0)
    chain.slot = chain.transactions[90].slot

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason, got.sol) == ("unavailable", "behind", None)
        assert chain.asked == [chain.wallet] * missing.ASKED_MAX

    on(tmp_path, chain, scene)


def test_what_the_wallet_did_after_its_listing_was_read_is_entered(
    tmp_path: Path, chain: Chain
) -> None:
    late = [each.signature for each in chain.transactions[-6:]]
    chain.unlisted.update(late)
    chain.on_held = chain.unlisted.clear

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason, got.slot) == ("agrees", None, chain.newest)
        assert await setup.trades() == trades_of(chain)
        setup.now += missing.RECONCILE_SECONDS
        await setup.reconciled()
        assert await setup.trades() == trades_of(chain)
        book = await setup.book()
        assert book.counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_a_history_that_is_cut_agrees_as_far_as_it_goes_and_says_so(
    tmp_path: Path, chain: Chain
) -> None:
    chain.oldest = 60

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("agrees", "truncated")
        assert got.opening_sol > 0
        assert got.tokens_agree > 0
        assert chain.asked == [chain.wallet]

    on(tmp_path, chain, scene)


def test_an_upstream_that_has_no_such_method_is_no_error(tmp_path: Path, chain: Chain) -> None:
    chain.hide(trade_in_the_middle(chain))

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason, got.slot) == ("unavailable", "refused", None)
        book = await setup.book()
        assert book.balances.unexplained
        assert got.closing_sol == coin_of(book.balances.lamports)

    on(tmp_path, chain, scene, NoAccounts())


class Failing(NoAccounts):
    async def held(self, wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        raise unavailable("no connection")


class Hanging(NoAccounts):
    async def held(self, wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        await asyncio.Event().wait()
        raise AssertionError("it never answers")


@pytest.mark.parametrize("accounts", [Failing(), Hanging()])
def test_an_upstream_that_fails_or_hangs_holds_up_no_complete(
    tmp_path: Path, chain: Chain, accounts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "RECONCILE_WAIT_SECONDS", 0.01)

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("unavailable", "no_answer")

    on(tmp_path, chain, scene, accounts)


def test_later_passes_compare_again_only_after_a_while(tmp_path: Path, chain: Chain) -> None:
    everything = chain.transactions
    signatures = [each.signature for each in everything]
    ends = [signatures.index(signature) + 1 for signature, _ in trades_of(chain)[-3:]]

    async def scene(setup: Setup) -> None:
        chain.transactions = everything[: ends[0]]
        first = await setup.reconciled()
        chain.transactions = everything[: ends[1]]
        setup.now += missing.RECONCILE_SECONDS - 1
        assert await setup.reconciled() == first
        assert chain.asked == [chain.wallet]
        chain.transactions = everything[: ends[2]]
        setup.now += 1
        second = await setup.reconciled()
        assert (second.status, second.slot) == ("agrees", chain.newest)
        assert chain.asked == [chain.wallet] * 2

    on(tmp_path, chain, scene)


@pytest.mark.parametrize("cut", [1, 30, 77])
def test_a_pass_that_goes_on_after_a_restart_ends_with_the_same(
    tmp_path: Path, chain: Chain, cut: int
) -> None:
    chain.hide(trade_in_the_middle(chain))
    everything = chain.transactions

    async def scene(setup: Setup) -> None:
        chain.transactions = everything[:cut]
        await setup.execute()
        chain.transactions = everything
        setup.now += missing.RECONCILE_SECONDS
        got = await setup.reconciled()
        assert (got.status, got.reason, got.slot) == ("agrees", None, chain.newest)
        assert (await setup.book()).counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_what_was_found_stays_while_it_is_not_final_and_is_sent_once(
    tmp_path: Path, chain: Chain
) -> None:
    hidden = chain.hide(trade_in_the_middle(chain))
    chain.final = 0

    async def scene(setup: Setup) -> None:
        first = await setup.execute()
        assert hidden.signature in dict(await setup.trades())
        asked = list(chain.asked)
        for final in (0, hidden.slot, inf):
            chain.final = final
            head = await setup.execute(setup.known)
            assert head == first
        assert chain.asked == asked, "nothing is searched for twice"
        book = await setup.book()
        assert book.counts.transactions == SIZE
        assert not book.tail

    on(tmp_path, chain, scene)


def test_a_fork_below_what_was_found_leaves_it_in_its_place(tmp_path: Path, chain: Chain) -> None:
    at = trade_in_the_middle(chain)
    hidden = chain.hide(at)
    chain.final = 0

    async def scene(setup: Setup) -> None:
        await setup.execute()
        chain.transactions[at - 1].slot += 1
        assert chain.transactions[at - 1].slot < hidden.slot
        chain.final = inf
        await setup.execute(setup.known)
        entries = await setup.entries()
        retracted = [data["signature"] for kind, data in entries if kind == kinds.RETRACT]
        assert hidden.signature not in retracted
        assert chain.transactions[at + 1].signature not in retracted
        book = await setup.book()
        assert book.counts.transactions == SIZE
        assert book.balances.unexplained == {}

    on(tmp_path, chain, scene)


def test_a_fork_that_takes_back_what_shows_a_step_takes_the_step_back(
    tmp_path: Path, chain: Chain
) -> None:
    chain.final = 0
    everything = list(chain.transactions)
    chain.give(SIZE - 3, 12_345)

    async def scene(setup: Setup) -> None:
        assert (await setup.reconciled()).reason == "unexplained"
        chain.transactions = everything[:]
        chain.give(SIZE - 3, -12_345)
        for each in chain.transactions[-3:]:
            each.slot += 1
        setup.now += missing.RECONCILE_SECONDS
        got = await setup.reconciled()
        assert (got.status, got.reason) == ("agrees", None)
        assert (await setup.book()).counts.transactions == SIZE

    on(tmp_path, chain, scene)


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_step_of_something_pushed_waits_for_the_pass_that_can_explain_it(
    tmp_path: Path, chain: Chain, is_listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    signatures = [signature for signature, _ in trades_of(chain)]
    at = next(
        at
        for at in range(SIZE - 1, 0, -1)
        if all(each.signature in signatures for each in chain.transactions[at - 1 : at + 1])
    )
    *before, missed, pushed = chain.transactions[: at + 1]
    chain.transactions = before
    chain.final = 0
    if not is_listed:
        chain.unlisted.add(missed.signature)

    async def scene(setup: Setup) -> None:
        await setup.execute()
        assert setup.lease is not None
        sync_pass = SyncPass(setup.sources, setup.lease, Ignored(), setup.known)
        await sync_pass.take([pushed])
        setup.known = sync_pass.known
        assert setup.known is not None
        assert setup.known.book is not None
        assert not any(each.transaction.steps for each in setup.known.book.tail)
        chain.transactions = [*before, missed, pushed]
        await setup.execute(setup.known)
        assert sorted(await setup.trades()) == sorted(trades_of(chain))

    monkeypatch.setattr(chain, "held", NoAccounts().held)  # which would find it, too
    on(tmp_path, chain, scene)


def test_what_touched_an_account_after_the_answers_slot_is_left_to_the_next_pass(
    tmp_path: Path, chain: Chain
) -> None:
    first = next(each for each in chain.transactions if chain.wallet not in each.addresses)
    (held,) = own_balances(first, chain.wallet) or ()
    second = again(first, chain.newest + 1)
    del chain.transactions[chain.transactions.index(first) + 1 :]
    chain.unlisted = {first.signature, second.signature}
    chain.slot = chain.newest
    chain.transactions.append(second)

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert (got.status, got.slot) == ("agrees", first.slot)
        assert (await setup.book()).balances.amount(held.account) == (
            held.before or 0
        ) + held.change

    on(tmp_path, chain, scene)


def test_what_a_fork_took_back_before_the_books_were_compared_brings_nothing_in_twice(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    del chain.transactions[emptying_trade(chain) + 1 :]
    abandoned = chain.transactions[-1]
    chain.final = chain.transactions[-2].slot
    chain.slot = abandoned.slot
    held = chain.held

    async def without_it(wallet: str, turn: Turn | None = None) -> list[AccountsAnswer]:
        if abandoned in chain.transactions:
            chain.transactions.remove(abandoned)
        return await held(wallet, turn)

    monkeypatch.setattr(chain, "held", without_it)

    async def scene(setup: Setup) -> None:
        assert (await setup.reconciled()).status == "differs"
        read = [*chain.transactions, abandoned]
        assert (await setup.book()).counts.transactions == len(read)
        chain.final = inf
        setup.now += missing.RECONCILE_SECONDS
        assert (await setup.reconciled()).status == "agrees"
        assert await setup.trades() == trades_of(chain)

    on(tmp_path, chain, scene)


def emptying_trade(chain: Chain) -> int:
    """Its place among the transactions: a sale of all of a token, after its purchase."""
    filled: set[str] = set()
    for at, each in enumerate(chain.transactions):
        (interpreted,) = Book(chain.wallet, "fifo", 0).interpret([each], 0)
        for balance in interpreted.balances or ():
            if balance.account == chain.wallet or not interpreted.trades:
                continue
            if balance.before == 0:
                filled.add(balance.account)
            elif balance.before == -balance.change and balance.account in filled:
                return at
    raise AssertionError("the simulated wallet sells nothing whole")


def again(airdrop: Transaction, slot: int) -> Transaction:
    """The same tokens for the same account, once more."""
    each = copy.deepcopy(airdrop)
    each.slot = slot
    each.transaction.signatures = [encode(bytes([9]) * 64)]
    meta, before = each.meta, copy.deepcopy(each.meta.post_token_balances)
    for held, given in zip(meta.post_token_balances or (), airdrop_of(airdrop), strict=True):
        amount = held.ui_token_amount
        amount.amount = str(int(amount.amount) + given)
    meta.pre_token_balances, meta.pre_balances = before, meta.post_balances
    return each


def airdrop_of(airdrop: Transaction) -> list[int]:
    """What each of the token accounts gained that there are afterwards."""
    meta = airdrop.meta
    before = {
        each.account_index: int(each.ui_token_amount.amount)
        for each in meta.pre_token_balances or ()
    }
    return [
        int(each.ui_token_amount.amount) - before.get(each.account_index, 0)
        for each in meta.post_token_balances or ()
    ]


def test_what_was_found_is_final_only_with_something_that_the_listing_has(chain: Chain) -> None:
    book = Book(chain.wallet, "fifo", 0)
    interpreted = book.interpret(chain.transactions, 0)
    for at in (40, 41, 42, SIZE - 1):
        interpreted[at] = msgspec.structs.replace(interpreted[at], found=True)
    parts = list(sliced(interpreted, 41))
    assert [len(part) for part in parts] == [44, 41, 35]
    for part in parts:
        book.record(part, {}, {}, NOW)
    assert book.cursor == Cursor(interpreted[-2].slot, interpreted[-2].signature)
    assert [each.transaction for each in book.tail] == [interpreted[-1]]
    book.settle_all()
    assert [each.transaction for each in book.tail] == [interpreted[-1]]
    assert book.counts.transactions == SIZE


def test_what_was_found_and_is_listed_after_all_counts_once(tmp_path: Path, chain: Chain) -> None:
    at = trade_in_the_middle(chain)
    hidden = chain.hide(at)
    chain.final = hidden.slot
    assert chain.transactions[at + 1].slot > hidden.slot

    async def scene(setup: Setup) -> None:
        await setup.execute()
        chain.unlisted.clear()
        await setup.execute(setup.known)
        chain.final = inf
        await setup.execute(setup.known)
        assert (await setup.book()).counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_what_was_found_and_comes_later_in_the_same_listing_counts_once(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LOOKED_UP_TOGETHER", 1)
    read = chain.read

    async def swapped(*args: Any) -> AsyncGenerator[Listed | Newest | Fetched, None]:
        async for step in read(*args):
            if isinstance(step, Fetched):
                order = step.transactions
                order[70], order[71] = order[71], order[70]
                for number, each in enumerate(order, 1):
                    yield Fetched([each], number)
            else:
                yield step

    monkeypatch.setattr(chain, "read", swapped)

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert got.status == "agrees"
        assert (await setup.book()).counts.transactions == SIZE

    on(tmp_path, chain, scene)


def test_one_that_landed_anew_while_it_was_read_is_not_entered_beside_itself(
    tmp_path: Path, chain: Chain
) -> None:
    """The listing still has it in its old slot, where the books have it; what comes after it
    begins with what it left in the new one."""
    last = chain.transactions.pop()
    chain.final = 0

    async def scene(setup: Setup) -> None:
        await setup.execute()
        again = chain.transactions[-1] = copy.deepcopy(chain.transactions[-1])
        place = again.addresses.index(chain.wallet)
        again.meta.post_balances[place] += 777
        chain.transactions.append(last)
        chain.give(SIZE - 1, 777)
        await setup.execute(setup.known)
        assert (await setup.book()).counts.transactions == SIZE
        signatures = [signature for signature, _ in await setup.trades()]
        assert signatures == [signature for signature, _ in trades_of(chain)]

    on(tmp_path, chain, scene)


def test_no_more_accounts_are_searched_than_a_pass_may_pay_for(
    tmp_path: Path, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missing, "SEARCHES_MAX", 3)
    for at in range(10, SIZE, 10):
        chain.give(at, at)

    async def scene(setup: Setup) -> None:
        got = await setup.reconciled()
        assert got.reason == "unexplained"
        assert len(chain.asked) == 3 + 1

    on(tmp_path, chain, scene)
