"""Which wallets are analysed, for whom, and for how long.

One task a wallet, however many streams ask. It reads the wallet to its end, and again whenever a
newcomer wants the newest or, for those who follow, every few seconds. When nobody is there any
more it stops: at once between two passes, after a while within one.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import Literal, Protocol

import structlog
from msgspec import Struct

from wd_server.analysis import run as running
from wd_server.analysis.book import Book
from wd_server.analysis.run import Run, Sources
from wd_server.errors import (
    InternalError,
    UpstreamQuota,
    UpstreamRejected,
    WalletDoctorError,
)
from wd_server.histogram import Histogram
from wd_server.journal.base import Lease, LeaseLost
from wd_server.streaming import event
from wd_server.trading.summary import Position, Summary
from wd_server.trading.trade import CostBasis

# Seconds in which a wallet that was just read to its end isn't read again for a newcomer.
FRESH_SECONDS = 2.0
# Wallets of which is remembered when they were read last.
FRESH_WALLETS = 100_000
# Seconds at most between two tries of a follower's wallet whose upstream fails.
RETRY_SECONDS_MAX = 60.0
# Seconds between two looks whether another node gave a wallet's lease back.
LEASE_RETRY_SECONDS = 1.0

# First passes by the most transactions they read, and the upper ends of their buckets in seconds.
PASS_SIZES = {"100": 100.0, "1000": 1_000.0, "10000": 10_000.0, "more": inf}
PASS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

Status = Literal["running", "incomplete", "complete"]

_log = structlog.get_logger("analysis")


class Audience(running.Audience, Protocol):
    def on_unsettled(self) -> None: ...
    def on_settled(self) -> None: ...
    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None: ...


class WalletReport(Struct):
    """A wallet as JSON. `running`: the first analysis is under way, `progress` tells how far;
    `incomplete`: it was interrupted and goes on with the next stream."""

    wallet: str
    status: Status
    progress: event.Progress | None
    summary: Summary | None
    positions: list[Position]
    truncated: bool


@dataclass
class Statistics:
    """`running` is now, the rest since the start. `outcomes`: passes by what they ended with;
    `first_pass_seconds`: whole first passes by the size of the wallet, in transactions."""

    running: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    first_pass_seconds: dict[str, Histogram] = field(
        default_factory=lambda: {size: Histogram(PASS_BUCKETS) for size in PASS_SIZES}
    )


@dataclass
class _Attendance:
    """Who is there for one wallet, and the task that works for them. `run` is the pass under way,
    `news` wakes the task between two."""

    audience: Audience
    followers: int = 0
    others: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    run: Run | None = None
    linger: asyncio.TimerHandle | None = None

    @property
    def deserted(self) -> bool:
        return not (self.followers or self.others)

    def cancel_linger(self) -> None:
        if self.linger is not None:
            self.linger.cancel()
            self.linger = None


class Analysis:
    """`poll_seconds`: how often a follower's wallet is read; `linger_seconds`: how long a pass
    goes on that nobody waits for."""

    def __init__(self, sources: Sources, poll_seconds: float, linger_seconds: float) -> None:
        self._sources = sources
        self._poll_seconds = poll_seconds
        self._linger_seconds = linger_seconds
        self._attended: dict[str, _Attendance] = {}
        self._fresh: dict[str, float] = {}
        self._statistics = Statistics()

    def statistics(self) -> Statistics:
        self._statistics.running = sum(each.run is not None for each in self._attended.values())
        return self._statistics

    def attend(self, wallet: str, audience: Audience, follow: bool) -> None:
        """Somebody came who wants this wallet read. To be followed by one `leave`."""
        attendance = self._attended.get(wallet)
        if attendance is None:
            attendance = self._attended[wallet] = _Attendance(audience)
        attendance.audience = audience
        attendance.cancel_linger()
        if follow:
            attendance.followers += 1
        else:
            attendance.others += 1
        if attendance.run is not None:
            attendance.run.audience = audience
            return
        if follow and attendance.followers > 1 and attendance.task is not None:
            return  # it is read every few seconds anyway
        if not follow and self._is_fresh(wallet):
            audience.on_settled()
            return
        if not follow:
            audience.on_unsettled()
        attendance.news.set()
        if attendance.task is None:
            loop = asyncio.get_running_loop()
            attendance.task = loop.create_task(self._serve(wallet, attendance))

    def leave(self, wallet: str, follow: bool) -> None:
        """One who attended is gone."""
        attendance = self._attended[wallet]
        if follow:
            attendance.followers -= 1
        else:
            attendance.others -= 1
        if not attendance.deserted:
            return
        if attendance.task is None:
            del self._attended[wallet]
        elif attendance.run is None:
            attendance.news.set()
        else:
            loop = asyncio.get_running_loop()
            attendance.linger = loop.call_later(self._linger_seconds, attendance.task.cancel)

    async def report(self, wallet: str) -> WalletReport | None:
        """What is known of a wallet; None if nothing is. Raises StoreUnavailable."""
        stored = await self._sources.journal.checkpoint(wallet)
        attendance = self._attended.get(wallet)
        run = attendance.run if attendance is not None else None
        if stored is None and run is None:
            return None
        progress = run.report.latest if run is not None else None
        # A thousand positions take 10 ms, which the loop hasn't got.
        return await asyncio.to_thread(
            _report, wallet, stored, self._sources.cost_basis, run is not None, progress
        )

    async def close(self) -> None:
        """Stop all work; what is journaled stays, and the next run goes on there."""
        tasks = [each.task for each in self._attended.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, wallet: str, attendance: _Attendance) -> None:
        try:
            lease = await self._lease(wallet)
            try:
                await self._keep_reading(lease, attendance)
            finally:
                await self._sources.journal.release(lease)
        except WalletDoctorError as error:
            attendance.audience.on_failed(error, True)
        except Exception:  # noqa: BLE001 - a bug must not leave the wallet's clients waiting
            _log.exception("analysis failed", wallet=wallet)
            bug = InternalError("This wallet can't be analysed because of an error of ours.")
            attendance.audience.on_failed(bug, True)
        finally:
            attendance.cancel_linger()
            attendance.task = attendance.run = None
            if attendance.deserted:
                del self._attended[wallet]

    async def _lease(self, wallet: str) -> Lease:
        """The right to write this wallet's journal, once whoever has it gives it back."""
        # The one wait that asks again: a lease that runs out on a dead node tells nobody.
        while (lease := await self._sources.journal.acquire(wallet)) is None:  # noqa: ASYNC110
            await asyncio.sleep(LEASE_RETRY_SECONDS)
        return lease

    async def _keep_reading(self, lease: Lease, attendance: _Attendance) -> None:
        failures = 0
        while not attendance.deserted:
            attendance.news.clear()
            finished = await self._pass(lease, attendance)
            if finished is None:
                failures += 1
            else:
                failures = 0
                if not finished and attendance.others:
                    continue
            pause = None
            if attendance.followers:
                pause = min(self._poll_seconds * 2**failures, RETRY_SECONDS_MAX)
            with suppress(TimeoutError):
                await asyncio.wait_for(attendance.news.wait(), pause)

    async def _pass(self, lease: Lease, attendance: _Attendance) -> bool | None:
        """One pass; whether the journal's newest entry is a `complete` now, None if it failed."""
        started = monotonic()
        await self._sources.journal.renew(lease)
        attendance.run = run = Run(self._sources, lease, attendance.audience)
        try:
            head = await run.execute(lambda: attendance.others > 0)
        except LeaseLost:
            raise
        except WalletDoctorError as error:
            hopeless = run.first or isinstance(error, UpstreamQuota | UpstreamRejected)
            self._statistics.outcomes[error.code] += 1
            _log.warning("analysis failed", wallet=lease.wallet, code=error.code, error=str(error))
            attendance.audience.on_failed(error, hopeless)
            return None
        finally:
            attendance.run = None
        self._statistics.outcomes["complete"] += 1
        if run.transactions:
            _log.info(
                "wallet read",
                wallet=lease.wallet,
                transactions=run.transactions,
                position=f"{head.run}-{head.seq}",
                seconds=round(monotonic() - started, 3),
            )
        if run.first:
            size = next(size for size, most in PASS_SIZES.items() if run.transactions <= most)
            self._statistics.first_pass_seconds[size].observe(monotonic() - started)
        finished = head.kind == event.COMPLETE
        if finished:
            self._mark_fresh(lease.wallet)
        else:
            self._fresh.pop(lease.wallet, None)
        if finished or not attendance.others:
            attendance.audience.on_settled()
        return finished

    def _is_fresh(self, wallet: str) -> bool:
        return monotonic() - self._fresh.get(wallet, -FRESH_SECONDS) < FRESH_SECONDS

    def _mark_fresh(self, wallet: str) -> None:
        self._fresh.pop(wallet, None)
        self._fresh[wallet] = monotonic()
        if len(self._fresh) > FRESH_WALLETS:
            del self._fresh[next(iter(self._fresh))]


def _report(
    wallet: str,
    stored: bytes | None,
    cost_basis: CostBasis,
    running: bool,
    progress: event.Progress | None,
) -> WalletReport | None:
    book = Book.restored(wallet, cost_basis, stored) if stored is not None else None
    if book is None and not running:
        return None
    unfinished: Status = "running" if running else "incomplete"
    return WalletReport(
        wallet=wallet,
        status="complete" if book is not None and book.complete else unfinished,
        progress=progress,
        summary=book.ledger.summary() if book is not None else None,
        positions=book.ledger.positions() if book is not None else [],
        truncated=book is not None and book.truncated,
    )
