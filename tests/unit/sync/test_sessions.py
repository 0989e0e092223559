"""Who is attended to and for how long; the history is played, the journal is real."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from math import inf
from pathlib import Path
from time import monotonic

import pytest
from msgspec.structs import replace

from wd_server.chain.credits import Credits
from wd_server.chain.history import NOTHING_KNOWN, Fetched, Listed, Newest
from wd_server.chain.listing import Cursor
from wd_server.chain.live import PushObserver
from wd_server.chain.quotes import NoQuotes
from wd_server.chain.turns import Tenant, Turn
from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import UpstreamQuota, UpstreamUnavailable, WalletDoctorError
from wd_server.events import event, kinds
from wd_server.journal.base import Head, Lease, NewEntry
from wd_server.sync import checkpoint, following, freshness
from wd_server.sync import sessions as session_module
from wd_server.sync.book import TAIL_MAX, Book, Recent
from wd_server.sync.interpreted import InterpretedTransaction
from wd_server.sync.session import WalletSession
from wd_server.sync.sessions import Sessions, again_seconds
from wd_server.sync.sources import Sources
from wd_server.sync.sync_pass import Known
from wd_server.trading.interpretation import Interpretation
from wd_server.trading.summary import Summary

ALICE, BOB = Tenant("key:alice"), Tenant("key:bob")
WALLET = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"


class PlayedHistory:
    """An empty wallet whose reads can be held up and can fail. `at_once`: its listing has only one
    page, like that of a wallet on whose chain little is new."""

    def __init__(self) -> None:
        self.reads = 0
        self.turns: list[Turn | None] = []
        self.at_once = False
        self.error: WalletDoctorError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = asyncio.Event()

    async def until(self, reads: int) -> None:
        while self.reads < reads:
            self.reading.clear()
            await self.reading.wait()

    async def final_slot(self, *, first: bool) -> float:
        return inf

    async def read(
        self,
        wallet: str,
        after: Cursor | None,
        limit: int,
        known: Mapping[str, int] = NOTHING_KNOWN,
        turn: Turn | None = None,
    ) -> AsyncGenerator[Listed | Newest | Fetched, None]:
        self.reads += 1
        self.turns.append(turn)
        self.reading.set()
        if not self.at_once:
            yield Listed(0, False, False)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        yield Listed(0, True, False)


class PlayedLive:
    """Tells who is followed; `covered` is what a subscription stands for."""

    def __init__(self) -> None:
        self.followed: set[str] = set()
        self.covered: set[str] = set()
        self.observer: PushObserver | None = None

    def set_observer(self, observer: PushObserver) -> None:
        self.observer = observer

    def follow(self, wallet: str) -> None:
        self.followed.add(wallet)

    def unfollow(self, wallet: str) -> None:
        self.followed.discard(wallet)

    def covers(self, wallet: str) -> bool:
        return wallet in self.covered


class NoAssets:
    async def symbols(
        self,
        mints: object,
        timeout: float,  # noqa: ASYNC109
        turn: Turn | None = None,
    ) -> dict[str, str]:
        return {}


class Listener:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.changed = asyncio.Event()
        self.finished = True

    def _note(self, what: str) -> None:
        self.told.append(what)
        self.changed.set()

    def on_progress(self, progress: event.Progress) -> None:
        self._note(f"progress {progress.step}")

    def on_preview(self, preview: event.Preview) -> None:
        self._note("preview")

    def on_summary(self, summary: Summary) -> None:
        self._note("summary")

    def on_unsettled(self) -> None:
        self._note("unsettled")

    def on_settled(self) -> None:
        self._note("settled")

    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None:
        self._note(f"failed {error.code} {followers_too}")

    async def until(self, what: str, times: int = 1) -> None:
        while self.told.count(what) < times:
            self.changed.clear()
            await self.changed.wait()


class Office:
    def __init__(self, journal: SqliteJournal, linger: float, poll: float) -> None:
        self.journal = journal
        self.history = PlayedHistory()
        sources = Sources(
            journal=journal,
            history=self.history,
            quotes=NoQuotes(),
            assets=NoAssets(),
            clock=lambda: 1000.0,
            cost_basis="fifo",
            max_wallet_size=100,
        )
        self.live = PlayedLive()
        self.account = Credits(0, lambda: 1000.0)
        self.sessions = Sessions(
            sources,
            live=self.live,
            account=self.account,
            poll_seconds=poll,
            check_seconds=poll,
            linger_seconds=linger,
        )
        self.listener = Listener()

    def join(self, follow: bool = False, tenant: Tenant = ALICE, *, held: bool = False) -> None:
        self.sessions.join(WALLET, self.listener, follow, tenant, held=held)

    async def idle(self) -> None:
        """Until no task works for the wallet."""
        session = self.sessions._sessions.get(WALLET)
        if session is not None and session.task is not None:
            await asyncio.wait((session.task,))


def in_office(
    tmp_path: Path,
    scene: Callable[[Office], Awaitable[None]],
    *,
    linger: float = 0,
    poll: float = 3600,
) -> None:
    async def play() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        office = Office(journal, linger, poll)
        try:
            await scene(office)
        finally:
            await office.sessions.close()
            await journal.close()

    asyncio.run(play())


def test_a_wallet_is_read_once_however_many_ask(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.gate.clear()
        for follow in (False, True, False):
            office.join(follow)
        await office.history.reading.wait()
        office.join()
        office.history.gate.set()
        await office.listener.until("settled")
        assert office.history.reads == 1
        head = await office.journal.head(WALLET)
        assert head is not None
        assert head.kind == "complete"

    in_office(tmp_path, scene)


def test_an_empty_wallet_is_complete_and_no_error(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join()
        await office.listener.until("settled")
        assert not any(told.startswith("failed") for told in office.listener.told)
        report = await office.sessions.report(WALLET)
        assert report is not None
        assert report.status == "complete"

    in_office(tmp_path, scene)


def test_one_who_comes_right_after_is_not_made_to_wait_for_another_read(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join()
        await office.listener.until("settled")
        office.sessions.leave(WALLET, False, ALICE)
        await office.idle()
        office.join()
        assert office.listener.told[-1] == "settled"
        assert office.history.reads == 1
        office.sessions.leave(WALLET, False, ALICE)

    in_office(tmp_path, scene)


def test_one_who_comes_later_gets_what_is_new_and_the_old_complete_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "FRESH_SECONDS", 0.0)

    async def scene(office: Office) -> None:
        office.join()
        await office.listener.until("settled")
        before = await office.journal.head(WALLET)
        office.join()
        assert office.listener.told[-1] == "unsettled"
        await office.listener.until("settled", 2)
        assert office.history.reads == 2
        assert await office.journal.head(WALLET) == before

    in_office(tmp_path, scene)


def test_a_first_read_that_fails_is_told_to_all_and_never_called_complete(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.error = UpstreamUnavailable("The chain doesn't answer.")
        office.join()
        await office.listener.until("failed UPSTREAM_UNAVAILABLE True")
        head = await office.journal.head(WALLET)
        assert head is not None
        assert head.seq == 0
        assert "settled" not in office.listener.told

    in_office(tmp_path, scene)


def test_followers_of_a_complete_wallet_outlive_a_passing_fault_but_not_a_lasting_one(
    tmp_path: Path,
) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.listener.until("settled")
        office.history.error = UpstreamUnavailable("The chain doesn't answer.")
        await office.listener.until("failed UPSTREAM_UNAVAILABLE False")
        office.history.error = UpstreamQuota("The plan is used up.")
        await office.listener.until("failed UPSTREAM_QUOTA True")

    in_office(tmp_path, scene, poll=0)


def test_a_wallet_that_another_node_added_a_trade_to_is_read_though_it_was_read_just_now(
    tmp_path: Path,
) -> None:
    async def scene(office: Office) -> None:
        office.join()
        await office.listener.until("settled")
        office.sessions.leave(WALLET, False, ALICE)
        await office.idle()
        office.listener.finished = False  # its followers are shown no `complete`
        office.join()
        assert office.listener.told[-1] == "unsettled"
        await office.listener.until("settled", 2)
        assert office.history.reads == 2

    in_office(tmp_path, scene)


def test_followers_are_served_by_reading_again_and_again(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.listener.until("settled", 3)
        assert office.history.reads >= 3

    in_office(tmp_path, scene, poll=0)


def test_a_bug_in_a_pass_is_told_as_ours_and_frees_the_wallet(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.error = ZeroDivisionError()  # type: ignore[assignment]
        office.join()
        await office.listener.until("failed INTERNAL_ERROR True")
        office.sessions.leave(WALLET, False, ALICE)
        await office.idle()
        office.history.error = None
        office.join()
        await office.listener.until("settled")

    in_office(tmp_path, scene)


def test_a_pass_that_nobody_waits_for_stops_and_gives_the_wallet_back(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.gate.clear()
        office.join()
        await office.history.reading.wait()
        office.sessions.leave(WALLET, False, ALICE)
        await office.idle()
        assert office.sessions.statistics().running == 0
        assert await office.journal.acquire(WALLET) is not None

    in_office(tmp_path, scene)


def test_one_who_comes_back_in_time_finds_the_pass_still_going(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.gate.clear()
        office.join()
        await office.history.reading.wait()
        office.sessions.leave(WALLET, False, ALICE)
        office.join()
        office.history.gate.set()
        await office.listener.until("settled")
        assert office.history.reads == 1

    in_office(tmp_path, scene, linger=3600)


def test_between_two_reads_the_last_to_leave_ends_the_work_at_once(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.listener.until("settled")
        office.sessions.leave(WALLET, True, ALICE)
        await office.idle()
        assert office.sessions._sessions == {}

    in_office(tmp_path, scene, linger=3600)


def test_what_is_unknown_running_or_complete_is_reported_so(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        assert await office.sessions.report(WALLET) is None
        office.history.gate.clear()
        office.join()
        await office.history.reading.wait()
        running = await office.sessions.report(WALLET)
        assert running is not None
        assert running.status == "running"
        assert running.progress is not None
        office.history.gate.set()
        await office.listener.until("settled")
        complete = await office.sessions.report(WALLET)
        assert complete is not None
        assert (complete.status, complete.positions) == ("complete", [])

    in_office(tmp_path, scene)


def count_checkpoints(office: Office, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The wallets whose book is read, from now on."""
    interpreted: list[str] = []
    checkpoint = office.journal.checkpoint

    async def counted(wallet: str) -> bytes | None:
        interpreted.append(wallet)
        return await checkpoint(wallet)

    monkeypatch.setattr(office.journal, "checkpoint", counted)
    return interpreted


def test_a_poll_that_finds_nothing_new_does_not_read_the_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(office: Office) -> None:
        books = count_checkpoints(office, monkeypatch)
        office.history.at_once = True
        office.join(follow=True)
        await office.history.until(5)
        assert books == [WALLET]
        assert not any(told.startswith("failed") for told in office.listener.told)

    in_office(tmp_path, scene, poll=0)


def test_a_wallet_between_two_polls_has_no_task_and_no_book(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.listener.until("settled")
        await office.idle()
        session = office.sessions._sessions[WALLET]
        assert session.task is None
        assert session.sync_pass is None
        assert session.due is not None
        assert await office.journal.acquire(WALLET) is None

    in_office(tmp_path, scene)


def test_one_who_wants_a_complete_gets_it_though_nothing_is_new_on_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "FRESH_SECONDS", 0.0)

    async def scene(office: Office) -> None:
        office.history.at_once = True
        office.join(follow=True)
        await office.listener.until("settled")
        await office.idle()
        # What a pass for followers only leaves behind that found a trade.
        session = office.sessions._sessions[WALLET]
        assert session.lease is not None
        assert session.known is not None
        head = session.known.head
        stored = await office.journal.checkpoint(WALLET)
        assert stored is not None
        trade = [NewEntry("trade", b"{}")]
        later = checkpoint.pack(replace(checkpoint.unpack(stored), seq=head.seq + 1, standing=0))
        newest = await office.journal.append(session.lease, head.epoch, trade, later, 1000.0)
        session.known = session.known._replace(head=newest, finished=False)
        office.join()
        await office.listener.until("settled", 2)
        closed = await office.journal.head(WALLET)
        assert closed is not None
        assert closed.kind == "complete"
        assert closed.seq == newest.seq + 1

    in_office(tmp_path, scene)


def test_a_poll_that_fails_at_once_leaves_followers_and_what_is_known(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.at_once = True
        office.join(follow=True)
        await office.listener.until("settled")
        office.history.error = UpstreamUnavailable("The chain doesn't answer.")
        await office.listener.until("failed UPSTREAM_UNAVAILABLE False")
        office.history.error = None
        await office.history.until(office.history.reads + 3)
        assert office.sessions._sessions[WALLET].known is not None
        assert "failed UPSTREAM_UNAVAILABLE True" not in office.listener.told

    in_office(tmp_path, scene, poll=0)


def test_one_who_comes_while_the_wallet_is_given_back_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.listener.until("settled")
        await office.idle()
        release, releasing = office.journal.release, asyncio.Event()

        async def slow(lease: Lease) -> None:
            releasing.set()
            await asyncio.sleep(0)
            await release(lease)

        monkeypatch.setattr(office.journal, "release", slow)
        office.sessions.leave(WALLET, True, ALICE)
        await releasing.wait()
        office.join(follow=True)
        await office.listener.until("settled", 2)

    in_office(tmp_path, scene)


def test_one_who_comes_when_a_pass_is_being_stopped_gets_another(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.gate.clear()
        office.join()
        await office.history.reading.wait()
        office.sessions.leave(WALLET, False, ALICE)
        office.sessions._stop(office.sessions._sessions[WALLET])  # as the timer does
        office.history.gate.set()
        office.join()
        await office.listener.until("settled")
        assert office.history.reads == 2

    in_office(tmp_path, scene, linger=3600)


def test_what_is_kept_of_wallets_at_rest_is_given_back_at_the_end(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.listener.until("settled")
        await office.idle()
        await office.sessions.close()
        assert await office.journal.acquire(WALLET) is not None

    in_office(tmp_path, scene)


# What is pushed.


def test_a_wallet_is_pushed_while_it_is_followed_and_this_node_reads_it(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join()
        await office.idle()
        assert office.live.followed == set()
        office.join(follow=True)
        await office.idle()
        assert office.live.followed == {WALLET}
        assert office.sessions.following.follows(WALLET)
        office.sessions.leave(WALLET, True, ALICE)
        assert office.live.followed == set()
        assert not office.sessions.following.follows(WALLET)

    in_office(tmp_path, scene)


def test_a_wallet_that_is_pushed_is_looked_at_rarely_and_at_once_when_there_was_a_gap(
    tmp_path: Path,
) -> None:
    async def scene(office: Office) -> None:
        office.live.covered.add(WALLET)
        office.join(follow=True)
        await office.idle()
        due = office.sessions._sessions[WALLET].due
        assert due is not None
        assert due - monotonic() > following.QUIET_SECONDS / 2
        reads = office.history.reads
        office.sessions.following.on_gap([WALLET, "another"])
        await office.history.until(reads + 1)
        await office.idle()

        office.live.covered.clear()
        office.sessions.following.on_lost([WALLET])
        await office.history.until(reads + 2)

    in_office(tmp_path, scene, poll=0.01)


def test_a_gap_is_filled_before_anything_newer_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads_before_a_take: list[int] = []

    async def scene(office: Office) -> None:
        async def take(session: WalletSession, sync_pass: object) -> int:
            session.pushed.clear()
            reads_before_a_take.append(office.history.reads)
            return 0

        monkeypatch.setattr(session_module, "take", take)
        office.join(follow=True)
        await office.idle()
        assert office.history.reads == 1
        office.sessions.following.on_gap([WALLET])
        office.sessions.following.on_transaction(WALLET, None)  # type: ignore[arg-type]
        await office.idle()
        office.sessions.following.on_transaction(WALLET, None)  # type: ignore[arg-type]
        await office.idle()

    in_office(tmp_path, scene)
    assert reads_before_a_take == [2, 2]


class Taking:
    """A pass that notes what it is to take, and leaves a book with so many unsettled."""

    def __init__(self, unsettled: int) -> None:
        book = Book(WALLET, "fifo", 0)
        interpretation = Interpretation((), None, ())
        book.tail = [
            Recent(InterpretedTransaction(1, str(each), False, interpretation, 0))
            for each in range(unsettled)
        ]
        self.known = Known(None, Head(1, 1, kinds.TRADE), False, book)
        self.taken: list[object] = []
        self.transactions = 0

    async def take(self, pushed: list[object]) -> None:
        self.taken += pushed


def test_a_gap_that_opens_while_what_was_pushed_is_held_back_is_filled_first(
    tmp_path: Path,
) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.idle()
        session = office.sessions._sessions[WALLET]
        sync_pass = Taking(unsettled=1)
        taking = asyncio.ensure_future(following.take(session, sync_pass))  # type: ignore[arg-type]
        session.pushed = [None]  # type: ignore[list-item]
        await asyncio.sleep(0)
        session.news = True
        await taking
        assert sync_pass.taken == []
        assert session.pushed == [None]

    in_office(tmp_path, scene)


@pytest.mark.parametrize(("unsettled", "is_full"), [(TAIL_MAX, False), (TAIL_MAX + 1, True)])
def test_the_chain_is_read_when_more_was_pushed_than_is_kept_unsettled(
    tmp_path: Path, unsettled: int, is_full: bool
) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.idle()
        session = office.sessions._sessions[WALLET]
        session.pushed = [None]  # type: ignore[list-item]
        sync_pass = Taking(unsettled)
        await following.take(session, sync_pass)  # type: ignore[arg-type]
        assert sync_pass.taken == [None]
        assert session.news == is_full

    in_office(tmp_path, scene)


def test_what_is_pushed_of_a_wallet_that_nobody_follows_is_dropped(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.sessions.following.on_transaction(WALLET, None)  # type: ignore[arg-type]
        office.join()
        office.sessions.following.on_transaction(WALLET, None)  # type: ignore[arg-type]
        await office.idle()
        assert office.listener.told.count("failed INTERNAL_ERROR True") == 0

    in_office(tmp_path, scene)


def test_more_than_can_wait_is_left_to_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PUSHED_MAX", 3)

    async def scene(office: Office) -> None:
        office.history.gate.clear()
        office.join(follow=True)
        await office.history.until(1)
        for _ in range(4):
            office.sessions.following.on_transaction(WALLET, None)  # type: ignore[arg-type]
        assert office.sessions._sessions[WALLET].pushed == []
        office.history.gate.set()
        await office.history.until(2)

    in_office(tmp_path, scene)


def test_followers_are_sent_away_before_the_days_budget_is_gone(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.account.daily = 100
        office.account.spend("x", 95)
        office.join(follow=True)
        await office.listener.until("failed UPSTREAM_QUOTA True")
        office.sessions.leave(WALLET, True, ALICE)
        await office.idle()
        office.join()
        await office.listener.until("settled")

    in_office(tmp_path, scene)


def test_a_wallet_that_is_held_back_is_read_when_it_may_be(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(held=True)
        await office.idle()
        assert (office.history.reads, office.listener.told) == (0, ["unsettled"])
        assert not await office.sessions.keeps(WALLET)
        office.sessions.go_on(WALLET, False)
        await office.listener.until("settled")
        assert office.history.reads == 1
        assert await office.sessions.keeps(WALLET)
        office.sessions.leave(WALLET, False, ALICE)
        await office.idle()
        assert not await office.sessions.keeps(WALLET)
        office.sessions.go_on(WALLET, False)  # its client is gone
        await office.idle()
        assert office.history.reads == 1

    in_office(tmp_path, scene)


def test_somebody_who_is_held_back_takes_the_end_from_nobody_who_has_it(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join()
        await office.listener.until("settled")
        office.sessions.leave(WALLET, False, ALICE)
        office.join()  # soon after: it is known to be the newest
        office.join(held=True, tenant=BOB)
        await office.idle()
        told = [each for each in office.listener.told if each in ("settled", "unsettled")]
        assert told[-1] == "settled"

    in_office(tmp_path, scene)


def test_a_wallet_that_is_held_back_is_read_for_who_may(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(held=True)
        office.join(tenant=BOB)
        await office.listener.until("settled")
        assert office.history.reads == 1
        turn = office.history.turns[-1]
        assert turn is not None
        assert set(turn.tenants) == {ALICE, BOB}
        office.sessions.leave(WALLET, False, ALICE)
        assert set(turn.tenants) == {BOB}

    in_office(tmp_path, scene)


def test_whoever_wants_a_wallet_on_another_node_has_a_part_in_its_turn(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.gate.clear()
        office.join()
        await office.history.until(reads=1)
        for _ in range(2):
            office.sessions.on_wanted(WALLET, [BOB])
        turn = office.history.turns[-1]
        assert turn is not None
        assert set(turn.tenants) == {ALICE, BOB}
        office.history.gate.set()
        await office.listener.until("settled")
        assert set(turn.tenants) == {ALICE}

    in_office(tmp_path, scene)


def test_followers_whose_credits_are_spent_stay_and_are_not_polled(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.history.at_once = True
        poor = Tenant("key:poor", 10)
        office.join(follow=True, tenant=poor)
        await office.listener.until("settled")
        office.account.spend("x", 10, poor)
        office.sessions._poll(WALLET, office.sessions._sessions[WALLET].due or 0.0)
        await office.idle()
        assert office.history.reads == 1
        assert not [told for told in office.listener.told if told.startswith("failed")]
        office.join(tenant=poor)  # one who doesn't follow costs a look
        await office.history.until(reads=2)
        await office.idle()
        office.join(follow=True, tenant=BOB)  # and whoever has credits pays for all
        office.sessions._poll(WALLET, office.sessions._sessions[WALLET].due or 0.0)
        await office.history.until(reads=3)

    in_office(tmp_path, scene)


def test_however_long_an_upstream_fails_its_wallet_is_looked_at_again(tmp_path: Path) -> None:
    async def scene(office: Office) -> None:
        office.join(follow=True)
        await office.idle()
        session = office.sessions._sessions[WALLET]
        session.failures = 5000
        assert office.sessions.following.pause(session) == following.RETRY_SECONDS_MAX

    in_office(tmp_path, scene, poll=1.0)


def test_a_store_that_is_away_is_tried_again_sooner_than_a_journal_begun_anew_in_vain() -> None:
    least, most = session_module.AGAIN_SECONDS
    assert again_seconds(0, 0) == least
    assert again_seconds(5000, 0) == most
    pauses = [again_seconds(0, anew) for anew in range(1, 10)]
    assert pauses == sorted(pauses)
    assert pauses[0] > least
    assert pauses[-1] == again_seconds(0, 5000) == session_module.ANEW_SECONDS
