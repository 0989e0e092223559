"""What a sync pass stores and when: the history has real transactions, the journal is real."""

import asyncio
import copy
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import closing
from math import inf
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from wd_server.chain.history import NOTHING_KNOWN, Fetched, Listed, Newest
from wd_server.chain.listing import Cursor
from wd_server.chain.payloads import Transaction
from wd_server.chain.quotes import NoQuotes
from wd_server.chain.turns import Turn
from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import WrittenByNewer
from wd_server.events import event, kinds
from wd_server.journal.base import Head, LeaseLost, NewEntry
from wd_server.sync import checkpoint, opening
from wd_server.sync import sync_pass as running
from wd_server.sync.book import Book
from wd_server.sync.checkpoint import Unexplained
from wd_server.sync.interpreted import interpret_transaction
from wd_server.sync.sources import Sources, Symbols
from wd_server.sync.sync_pass import SyncPass
from wd_server.trading.postings import Posting
from wd_server.trading.programs import SOL
from wd_server.trading.summary import Summary
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.market import Market

SIZE = 120
SLICE = 10
NOW = 1_800_000_000.0


class Chain:
    """A wallet of SIZE transactions. `stuck_after`: how many are given before it hangs; `ahead`:
    how many of the newest are given ahead of their turn."""

    def __init__(self, stuck_after: int | None, ahead: int) -> None:
        market = Market(5, (SIZE,), Clock(1_788_220_800, lambda: 0.0))
        self.wallet = market.wallets[0].address
        simulated = asyncio.run(market.wallet(self.wallet))
        assert simulated is not None
        decoder = msgspec.json.Decoder(Transaction)
        self.transactions = [decoder.decode(b"{" + entry.body) for entry in simulated.entries]
        self._stuck_after = stuck_after
        self._ahead = ahead
        self.first: list[bool] = []

    async def final_slot(self, *, first: bool) -> float:
        self.first.append(first)
        return inf

    async def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
        turn: Turn | None = None,
    ) -> AsyncGenerator[Listed | Newest | Fetched, None]:
        yield Listed(SIZE // 2, False, False)
        for start in reversed(range(SIZE - self._ahead, SIZE, SLICE)):
            yield Newest(self.transactions[start : start + SLICE])
        yield Listed(SIZE, True, False)
        for start in range(0, SIZE - self._ahead, SLICE):
            if start == self._stuck_after:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
            yield Fetched(self.transactions[start : start + SLICE], start + SLICE)
        for _ in range(3):
            await asyncio.sleep(0)

    def entries(self) -> list[NewEntry]:
        book = Book(self.wallet, "fifo", 0)
        return book.record(book.interpret(self.transactions, 0), {}, {}, NOW)

    def trades(self) -> int:
        return sum(entry.kind == kinds.TRADE for entry in self.entries())


class Slow:
    """Knows no symbol, and says so only after others had many turns."""

    async def symbols(
        self,
        mints: object,
        timeout: float,  # noqa: ASYNC109
        turn: Turn | None = None,
    ) -> dict[str, str]:
        for _ in range(5):
            await asyncio.sleep(0)
        return {}


class Ignored:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.previews: list[event.Preview] = []

    def on_progress(self, progress: event.Progress) -> None:
        self.told.append(progress.step)

    def on_preview(self, preview: event.Preview) -> None:
        self.previews.append(preview)

    def on_summary(self, summary: Summary) -> None:
        self.told.append("summary")


def on_chain(
    tmp_path: Path,
    scene: Callable[[SqliteJournal, Chain, SyncPass, Ignored], Awaitable[None]],
    stuck_after: int | None = None,
    ahead: int = 0,
    assets: Symbols | None = None,
) -> None:
    chain = Chain(stuck_after, ahead)

    async def play() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        lease = await journal.acquire(chain.wallet)
        assert lease is not None
        names = assets or Slow()
        sources = Sources(journal, chain, NoQuotes(), names, lambda: NOW, "fifo", 20_000)
        listener = Ignored()
        try:
            await scene(journal, chain, SyncPass(sources, lease, listener), listener)
        finally:
            await journal.close()

    asyncio.run(play())


def test_what_was_read_is_stored_while_the_upstream_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "APPEND_SECONDS", 0.0)

    async def scene(journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, _: Ignored) -> None:
        stored = asyncio.Event()
        watch = journal.subscribe(chain.wallet, lambda *_: stored.set())
        executing = asyncio.ensure_future(sync_pass.execute(lambda: True))
        await stored.wait()
        executing.cancel()
        await asyncio.wait((executing,))
        watch.close()
        head = await journal.head(chain.wallet)
        assert head is not None
        assert head.kind == "trade"

    on_chain(tmp_path, scene, stuck_after=50)


@pytest.mark.parametrize("together", [30, 1000])
@pytest.mark.parametrize("seconds", [0.0, 3600.0])
def test_however_often_it_stores_every_trade_is_stored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, together: int
) -> None:
    monkeypatch.setattr(running, "APPEND_SECONDS", seconds)
    monkeypatch.setattr(running, "LOOKED_UP_TOGETHER", together)

    async def scene(journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, _: Ignored) -> None:
        head = await sync_pass.execute(lambda: True)
        entries = await journal.read(chain.wallet, head.epoch, 0, 1000, 10**9)
        signatures = [
            msgspec.json.decode(entry.payload)["signature"]
            for entry in entries
            if entry.kind == "trade"
        ]
        assert len(signatures) == len(set(signatures)) == chain.trades()
        assert entries[-1].kind == "complete"

    on_chain(tmp_path, scene)


def test_only_a_wallets_first_read_may_take_an_older_final_slot(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        await sync_pass.execute(lambda: True)
        await SyncPass(sync_pass._sources, sync_pass._lease, listener).execute(lambda: True)
        assert chain.first == [True, False]

    on_chain(tmp_path, scene)


def test_a_store_that_fails_ends_the_pass_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "APPEND_SECONDS", 0.0)

    async def scene(journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, _: Ignored) -> None:
        async def fails(*_: object) -> None:
            raise OSError("the disk is on fire")

        monkeypatch.setattr(journal, "append", fails)
        with pytest.raises(OSError, match="fire"):
            await sync_pass.execute(lambda: True)

    on_chain(tmp_path, scene)


@pytest.mark.parametrize("ahead", [0, SIZE])
def test_a_transaction_whose_parts_contradict_each_other_is_left_out_and_logged(
    tmp_path: Path, ahead: int
) -> None:
    async def scene(journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, _: Ignored) -> None:
        whole = list(chain.transactions)
        odd = chain.transactions[17] = copy.deepcopy(whole[17])
        assert odd.meta.post_token_balances
        odd.meta.post_token_balances[0].ui_token_amount.amount = "a lot"
        with pytest.raises(ValueError, match="a lot"):
            interpret_transaction(odd, chain.wallet, 0)
        with capture_logs() as logs:
            await sync_pass.execute(lambda: True)
        chain.transactions = whole[:17] + whole[18:]
        head = await journal.head(chain.wallet)
        assert head is not None
        assert head == (head.epoch, len(chain.entries()) + 1, kinds.COMPLETE)
        assert [log["signature"] for log in logs if "task" in log] == [odd.signature]

    on_chain(tmp_path, scene, ahead=ahead)


def test_a_whole_pass_says_a_hundred_percent_before_its_complete(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        watch = journal.subscribe(
            chain.wallet, lambda _, entries: listener.told.append(entries[-1].kind)
        )
        await sync_pass.execute(lambda: True)
        watch.close()
        assert listener.told[-2:] == ["complete", "complete"]
        assert "summary" not in listener.told

    on_chain(tmp_path, scene)


@pytest.mark.parametrize("ahead", [SLICE, 50, SIZE])
def test_what_came_ahead_of_its_turn_is_entered_in_its_turn(tmp_path: Path, ahead: int) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        head = await sync_pass.execute(lambda: True)
        entries = await journal.read(chain.wallet, head.epoch, 0, 1000, 10**9)
        book = Book(chain.wallet, "fifo", head.epoch)
        expected = book.record(book.interpret(chain.transactions, 0), {}, {}, NOW)
        assert [(each.kind, each.payload) for each in entries[:-1]] == expected
        assert sync_pass.transactions == SIZE
        stored = await journal.checkpoint(chain.wallet)
        assert stored is not None
        restored = Book.restored(chain.wallet, "fifo", head.epoch, stored)
        assert restored.cursor == book.cursor
        assert len(listener.previews) == 1

    on_chain(tmp_path, scene, ahead=ahead)


class Naming:
    """Knows every symbol, but not at once."""

    async def symbols(
        self,
        mints: Collection[str],
        timeout: float,  # noqa: ASYNC109
        turn: Turn | None = None,
    ) -> dict[str, str]:
        return dict.fromkeys(mints, "NAME") if timeout else {}


def test_a_preview_is_shown_at_once_and_again_when_the_names_are_there(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        await sync_pass.execute(lambda: True)
        bare, named = listener.previews
        assert [each.signature for each in bare.trades] == [each.signature for each in named.trades]
        tokens = {each.mint for trade in bare.trades for each in (trade.token_in, trade.token_out)}
        assert tokens - {SOL}
        for trades, name in ((bare.trades, None), (named.trades, "NAME")):
            for trade in trades:
                for each in (trade.token_in, trade.token_out):
                    assert each.symbol == ("SOL" if each.mint == SOL else name or each.mint)

    on_chain(tmp_path, scene, ahead=50, assets=Naming())


def test_a_journal_that_is_too_long_is_continued_in_a_new_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, _: Ignored) -> None:
        first = await sync_pass.execute(lambda: True)
        monkeypatch.setattr(running, "ENTRIES_MAX", first.seq)
        monkeypatch.setattr(opening, "ENTRIES_MAX", first.seq)
        with pytest.raises(LeaseLost):
            await sync_pass._store(Book(chain.wallet, "fifo", first.epoch))
        assert await journal.head(chain.wallet) == first
        again = await SyncPass(sync_pass._sources, sync_pass._lease, sync_pass.observer).execute(
            lambda: True
        )
        assert again.epoch > first.epoch
        assert again.seq == first.seq

    on_chain(tmp_path, scene)


def test_a_journal_whose_checkpoint_is_damaged_is_begun_anew(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        first = await sync_pass.execute(lambda: True)
        stored = await journal.checkpoint(chain.wallet)
        assert stored is not None
        await journal.append(sync_pass._lease, first.epoch, [], stored[:-1] + b"?", NOW)
        again = await SyncPass(sync_pass._sources, sync_pass._lease, listener).execute(lambda: True)
        assert again.epoch > first.epoch
        assert again.seq == first.seq

    on_chain(tmp_path, scene)


def test_a_pass_says_what_it_found_that_nothing_explains_and_nothing_of_before(
    tmp_path: Path,
) -> None:
    async def scene(journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, _: Ignored) -> None:
        book = Book(chain.wallet, "fifo", 1)
        book.counts.add_unexplained([Posting("unexplained", SOL, -5, 9, place="step")])
        assert sync_pass.unexplained == {}
        sync_pass._begun(book)
        book.counts.add_unexplained([Posting("unexplained", SOL, -7, 9, place="step")])
        assert sync_pass.unexplained == {"step": Unexplained(1, 7)}

    on_chain(tmp_path, scene)


def test_a_newer_servers_journal_is_left_as_it_is(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        first = await sync_pass.execute(lambda: True)
        newer = checkpoint.framed(checkpoint.VERSION + 1, b"what only newer servers can read")
        await journal.append(sync_pass._lease, first.epoch, [], newer, NOW)
        with pytest.raises(WrittenByNewer):
            await SyncPass(sync_pass._sources, sync_pass._lease, listener).execute(lambda: True)
        assert await journal.head(chain.wallet) == first
        assert await journal.checkpoint(chain.wallet) == newer

    on_chain(tmp_path, scene)


def damage_checkpoint(stored: bytes, monkeypatch: pytest.MonkeyPatch, head: Head) -> bytes:
    return stored[:-1] + bytes([stored[-1] ^ 1])


def fill_journal(stored: bytes, monkeypatch: pytest.MonkeyPatch, head: Head) -> bytes:
    monkeypatch.setattr(opening, "ENTRIES_MAX", head.seq)
    return stored


@pytest.mark.parametrize("spoil", [damage_checkpoint, fill_journal])
def test_what_is_pushed_never_becomes_the_whole_history_of_a_journal_begun_anew(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[bytes, pytest.MonkeyPatch, Head], bytes],
) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        everything = chain.transactions
        chain.transactions = everything[:-10]
        first = await sync_pass.execute(lambda: True)
        stored = await journal.checkpoint(chain.wallet)
        assert stored is not None
        spoiled = spoil(stored, monkeypatch, first)
        await journal.append(sync_pass._lease, first.epoch, [], spoiled, NOW)
        with pytest.raises(LeaseLost):
            await SyncPass(sync_pass._sources, sync_pass._lease, listener, sync_pass.known).take(
                everything[-10:]
            )
        monkeypatch.undo()
        chain.transactions = everything
        again = await SyncPass(sync_pass._sources, sync_pass._lease, listener).execute(lambda: True)
        entries = await journal.read(chain.wallet, again.epoch, 0, 1000, 10**9)
        assert msgspec.json.decode(entries[-1].payload)["trades_found"] == chain.trades()

    on_chain(tmp_path, scene)


def test_a_journal_whose_epoch_was_altered_is_begun_anew(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        first = await sync_pass.execute(lambda: True)
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
            connection.execute("UPDATE wallets SET run = run + 1")
        again = await SyncPass(sync_pass._sources, sync_pass._lease, listener).execute(lambda: True)
        assert again.epoch > first.epoch + 1
        assert again.seq == first.seq

    on_chain(tmp_path, scene)


def test_a_store_that_numbers_entries_otherwise_costs_the_lease(tmp_path: Path) -> None:
    async def scene(
        journal: SqliteJournal, chain: Chain, sync_pass: SyncPass, listener: Ignored
    ) -> None:
        first = await sync_pass.execute(lambda: True)
        later = SyncPass(sync_pass._sources, sync_pass._lease, listener, sync_pass.known)
        with closing(sqlite3.connect(tmp_path / "journal.db")) as connection, connection:
            connection.execute("UPDATE wallets SET head_seq = head_seq + 7")
        book = Book(chain.wallet, "fifo", first.epoch)
        book.seq = first.seq
        later._entries = [book.entry(event.Retract("S", 1))]
        later._head = first
        await later._store(book)
        with pytest.raises(LeaseLost):
            await later._stored()

    on_chain(tmp_path, scene)
