"""Which wallets are analysed, for whom, and for how long.

One task a wallet, however many streams ask. It reads the wallet to its end, and another does so
again whenever a newcomer wants the newest or, for those who follow, every few seconds. When nobody
is there any more it stops: at once between two passes, after a while within one.
"""

import asyncio
import random as chance
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from time import monotonic
from typing import Any

import structlog

from wd_server.analysis.attendance import Attendance
from wd_server.analysis.following import DOUBLINGS_MAX, Following, take
from wd_server.analysis.freshness import Freshness
from wd_server.analysis.places import Places
from wd_server.analysis.polls import Polls
from wd_server.analysis.relay import Audience, Relay
from wd_server.analysis.report import WalletReport, read_report
from wd_server.analysis.run import Run
from wd_server.analysis.sources import Sources
from wd_server.analysis.statistics import Statistics
from wd_server.chain.credits import Credits
from wd_server.chain.live import Pushes
from wd_server.chain.turns import Tenant
from wd_server.errors import (
    InternalError,
    StoreAway,
    StoreUnavailable,
    UpstreamQuota,
    UpstreamRejected,
    WalletDoctorError,
    WrittenByNewer,
)
from wd_server.journal.base import Lease, LeaseLost
from wd_server.streaming import event
from wd_server.tasks import Tasks

# Seconds after which a node asks again whether it may read a wallet that another reads, where
# somebody waits for its end, and where all follow. What ends the wait is told; this is for when
# that got lost.
WAITING_AGAIN_SECONDS = 5.0
FOLLOWING_AGAIN_SECONDS = 30.0
# Seconds until a pass that lost the lease or the store is begun again: at least, and at most after
# several.
AGAIN_SECONDS = (0.25, 4.0)
# The same at most for a wallet whose journal was begun anew again and again: each time it is read
# from the chain, which costs credits.
ANEW_SECONDS = 300.0


_log = structlog.get_logger("analysis")


class Analysis:
    """`poll_seconds`: how often a follower's wallet is read that isn't pushed, `check_seconds`: how
    soon what was pushed is held against the history; `linger_seconds`: how long a pass goes on that
    nobody waits for; `random` gives [0, 1)."""

    def __init__(
        self,
        sources: Sources,
        live: Pushes,
        account: Credits,
        poll_seconds: float,
        check_seconds: float,
        linger_seconds: float,
        random: Callable[[], float] = chance.random,
        tasks: Tasks | None = None,
    ) -> None:
        self._sources = sources
        self._account = account
        self._linger_seconds = linger_seconds
        self._attended: dict[str, Attendance] = {}
        self._fresh = Freshness()
        self._polls = Polls(self._poll, random)
        self.following = Following(
            live,
            self._attended,
            self._polls,
            self._work,
            poll_seconds=poll_seconds,
            check_seconds=check_seconds,
        )
        self._tasks = tasks or Tasks()
        self._closed = False
        self._places = Places()
        self._statistics = Statistics()

    def statistics(self) -> Statistics:
        self._statistics.running = sum(each.run is not None for each in self._attended.values())
        return self._statistics

    def attend(
        self, wallet: str, audience: Audience, follow: bool, tenant: Tenant, *, held: bool = False
    ) -> None:
        """Somebody came who wants this wallet read. To be followed by one `leave`. `held`: it is
        not read for that one before `go_on` is called."""
        attendance = self._attended.get(wallet)
        if attendance is None:
            relay = Relay(wallet, audience, self, self._sources.journal)
            attendance = self._attended[wallet] = Attendance(wallet, relay)
        attendance.relay.audience = audience
        attendance.cancel_linger()
        attendance.come(tenant, follow)
        self._places.call()
        if follow:
            self.following.begin(attendance)
        if held and not attendance.is_read:
            audience.on_unsettled()
        else:
            self.go_on(wallet, follow)

    def go_on(self, wallet: str, follow: bool) -> None:
        """Have the wallet read for one who attends, or say that nothing is newer. One that nobody
        attends any more is no error."""
        attendance = self._attended.get(wallet)
        if attendance is None or attendance.run is not None:
            return
        audience = attendance.relay.audience
        if follow and attendance.due is not None:
            return  # it is looked at every few seconds anyway
        if not follow and wallet in self._fresh:
            attendance.settled = True
            audience.on_settled()
            return
        if not follow:
            attendance.settled = False
            audience.on_unsettled()
        attendance.news = True
        self._work(attendance)

    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None:
        """One who attended is gone."""
        attendance = self._attended[wallet]
        attendance.leave(tenant, follow)
        if follow and not attendance.followers:
            self.following.end(attendance)
        if not attendance.deserted:
            return
        if attendance.run is not None:
            loop = asyncio.get_running_loop()
            attendance.linger = loop.call_later(self._linger_seconds, self._stop, attendance)
        elif attendance.lease is not None:
            self._work(attendance)
        elif attendance.task is None:
            self._forget(attendance)

    def _forget(self, attendance: Attendance) -> None:
        del self._attended[attendance.wallet]
        attendance.relay.close()

    # What other nodes tell (relay.Interest).

    def on_wanted(self, wallet: str, tenants: Collection[Tenant]) -> None:
        attendance = self._attended.get(wallet)
        if attendance is None or attendance.lease is None:
            return
        if attendance.run is not None:
            attendance.invite(tenants)
            self._places.call()
        elif wallet in self._fresh:
            attendance.relay.on_settled()
        else:
            attendance.invite(tenants)
            attendance.news = True
            self._work(attendance)

    def on_answered(self, wallet: str, settled: bool) -> None:
        attendance = self._attended.get(wallet)
        if attendance is not None and attendance.lease is None:
            attendance.news, attendance.settled = False, settled

    def on_vacant(self, wallet: str) -> None:
        attendance = self._attended.get(wallet)
        if attendance is not None and not self._closed:
            attendance.news = True
            self._work(attendance)

    async def report(self, wallet: str) -> WalletReport | None:
        """What is known of a wallet; None if nothing is. Raises StoreUnavailable."""
        attendance = self._attended.get(wallet)
        run = None if attendance is None else attendance.run
        return await read_report(self._sources, wallet, None if run is None else run.report)

    async def keeps(self, wallet: str) -> bool:
        """Somebody attends it and it was read to its end, or another node has it: one more costs
        next to nothing. Raises StoreUnavailable."""
        attendance = self._attended.get(wallet)
        return attendance.is_read if attendance else await self._sources.journal.held(wallet)

    async def close(self) -> None:
        """Stop all work; what is journaled stays, and the next run goes on there."""
        self._closed = True
        self._polls.close()
        for attendance in self._attended.values():
            if attendance.task is not None:
                attendance.task.cancel()
            elif attendance.lease is not None:
                attendance.task = self._started(attendance, self._give_back(attendance))
        tasks = [each.task for each in self._attended.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _work(self, attendance: Attendance) -> asyncio.Task[None]:
        if attendance.task is None:
            attendance.due = None
            attendance.task = self._started(attendance, self._serve(attendance))
        return attendance.task

    def _started(
        self, attendance: Attendance, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        return self._tasks.spawn("analysis", work, wallet=attendance.wallet)

    def _stop(self, attendance: Attendance) -> None:
        """Nobody came back to the pass under way; who comes from now on wants another."""
        attendance.linger = attendance.run = None
        if attendance.task is not None:
            attendance.task.cancel()

    def _poll(self, wallet: str, due: float) -> asyncio.Task[None] | None:
        attendance = self._attended.get(wallet)
        if attendance is None or attendance.due != due or attendance.deserted:
            return None
        attendance.news = True
        return self._work(attendance)

    async def _serve(self, attendance: Attendance) -> None:
        """Read the wallet as long as somebody wants it newer; then keep it for those who stay."""
        stays = False
        try:
            await self._keep_reading(attendance)
            stays = not attendance.deserted
        except WalletDoctorError as error:
            self._fail(attendance, error)
        except Exception:  # a bug must not leave the wallet's clients waiting
            bug = InternalError("This wallet can't be analysed because of an error of ours.")
            self._fail(attendance, bug)
            raise
        finally:
            attendance.cancel_linger()
            attendance.run = None
            if not stays:
                await self._give_back(attendance)
            self._rest(attendance, stays)

    def _fail(self, attendance: Attendance, error: WalletDoctorError) -> None:
        """Tell all who are there; only who comes later wants another try. What goes wrong on a
        node that doesn't read the wallet concerns nobody elsewhere."""
        attendance.news = False
        relay = attendance.relay
        told = relay.audience if attendance.lease is None else relay
        told.on_failed(error, True)

    async def _give_back(self, attendance: Attendance) -> None:
        lease, attendance.lease, attendance.known = attendance.lease, None, None
        self.following.end(attendance)
        if lease is not None:
            try:
                await self._sources.journal.release(lease)
            except StoreUnavailable as error:  # the journal gives it back later
                _log.warning("lease not given back yet", wallet=lease.wallet, error=error.message)

    def _rest(self, attendance: Attendance, stays: bool) -> None:
        """Its task is over: what is to become of the wallet?"""
        attendance.task = None
        if attendance.deserted:
            self._forget(attendance)
        elif self._closed:
            return
        elif stays and (attendance.followers or attendance.lease is None):
            attendance.due = self._polls.set(attendance.wallet, self._pause(attendance))
        elif attendance.news:  # came while it was given back
            self._work(attendance)

    def _pause(self, attendance: Attendance) -> float:
        """Seconds until the wallet is looked at again."""
        if attendance.lease is None:
            return WAITING_AGAIN_SECONDS if attendance.others else FOLLOWING_AGAIN_SECONDS
        return self.following.pause(attendance)

    async def _keep_reading(self, attendance: Attendance) -> None:
        while (attendance.news or attendance.pushed) and not attendance.deserted:
            try:
                if not await self._read_once(attendance):
                    return
            except (LeaseLost, StoreAway) as error:
                _log.info("interrupted", wallet=attendance.wallet, error=error.message)
                attendance.news = True
                await self._give_back(attendance)
                await asyncio.sleep(again_seconds(attendance.interrupted, attendance.anew))
                attendance.interrupted += 1
            except WrittenByNewer:
                await self._give_back(attendance)  # to a server that can read it
                raise

    async def _read_once(self, attendance: Attendance) -> bool:
        """One pass with the lease; False if another node has that. Raises LeaseLost, StoreAway."""
        if attendance.lease is None:
            attendance.lease = await self._sources.journal.acquire(attendance.wallet)
            if attendance.lease is None:
                if attendance.others:
                    attendance.relay.want(attendance.turn.standing)
                return False
            self.following.begin(attendance)
            return True
        if not (attendance.others or attendance.wanted):
            self._account.check_following()
            if attendance.rests and not self._account.may_spend(attendance.turn.tenants):
                attendance.news = False
                return True
        if attendance.pushed and not attendance.news and attendance.known is not None:
            finished = await self._take(attendance, attendance.lease)
        else:
            attendance.news = False
            async with self._places.taken(attendance.turn, first=attendance.known is None):
                finished = await self._pass(attendance, attendance.lease)
        if finished is None:
            attendance.failures += 1
            attendance.pushed.clear()  # the history has it
        else:
            attendance.failures = attendance.interrupted = 0
            attendance.news |= not finished and attendance.others + attendance.wanted > 0
        return True

    def _run(self, attendance: Attendance, lease: Lease) -> Run:
        sources = replace(self._sources, turn=attendance.turn)
        return Run(sources, lease, attendance.relay, attendance.known)

    async def _take(self, attendance: Attendance, lease: Lease) -> bool | None:
        """Take what was pushed. Returns as `_pass`."""
        run = self._run(attendance, lease)
        try:
            new = await take(attendance, run)
        except (LeaseLost, StoreAway, WrittenByNewer):
            raise
        except WalletDoctorError as error:
            self._statistics.failed(lease.wallet, error)
            return None
        finally:
            attendance.keep(run)
        if new:
            self._fresh.mark(lease.wallet, False)
            self._statistics.pushed += new
        return run.known is not None and run.known.head.kind == event.COMPLETE

    async def _pass(self, attendance: Attendance, lease: Lease) -> bool | None:
        """One pass; whether the journal's newest entry is a `complete` now, None if it failed."""
        started = monotonic()
        await self._sources.journal.renew(lease)
        known = attendance.known
        attendance.run = run = self._run(attendance, lease)
        try:
            head = await run.execute(lambda: attendance.others + attendance.wanted > 0)
        except (LeaseLost, StoreAway, WrittenByNewer):
            raise
        except WalletDoctorError as error:
            hopeless = run.first or isinstance(error, UpstreamQuota | UpstreamRejected)
            self._statistics.failed(lease.wallet, error)
            attendance.dismiss()
            attendance.relay.on_failed(error, hopeless)
            return None
        finally:
            attendance.run = None
            attendance.unsettled_since = None
            attendance.keep(run)
        self._statistics.passed(lease.wallet, run, head, monotonic() - started)
        attendance.anew = attendance.anew + 1 if attendance.epoch not in (0, head.run) else 0
        attendance.epoch = head.run
        finished = head.kind == event.COMPLETE
        self._fresh.mark(lease.wallet, finished)
        if finished or not (attendance.others or attendance.wanted):
            if run.known is not known or not attendance.settled or attendance.wanted:
                attendance.relay.on_settled()
            attendance.settled = True
            attendance.dismiss()
        return finished


def again_seconds(interrupted: int, anew: int) -> float:
    """Seconds until a wallet is tried again that lost its lease or its store `interrupted` times in
    a row, and whose journal was begun anew in each of the last `anew` passes."""
    least, most = (AGAIN_SECONDS[0], ANEW_SECONDS) if anew else AGAIN_SECONDS
    return min(least * 2.0 ** min(2 * anew or interrupted, DOUBLINGS_MAX), most)
