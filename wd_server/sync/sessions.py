"""The sessions of all wallets on this node: which wallets are read, for whom, and for how long.

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

from wd_server.chain.credits import Credits
from wd_server.chain.live import PushSource
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
from wd_server.sync.following import DOUBLINGS_MAX, Following, take
from wd_server.sync.freshness import Freshness
from wd_server.sync.places import Places
from wd_server.sync.polls import Polls
from wd_server.sync.relay import Relay, WalletObserver
from wd_server.sync.report import WalletReport, read_report
from wd_server.sync.session import WalletSession
from wd_server.sync.sources import Sources
from wd_server.sync.statistics import SyncStatistics
from wd_server.sync.sync_pass import SyncPass
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


_log = structlog.get_logger("sync")


class Sessions:
    """`poll_seconds`: how often a follower's wallet is read that isn't pushed, `check_seconds`: how
    soon what was pushed is held against the history; `linger_seconds`: how long a pass goes on that
    nobody waits for; `random` gives [0, 1)."""

    def __init__(
        self,
        sources: Sources,
        live: PushSource,
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
        self._sessions: dict[str, WalletSession] = {}
        self._fresh = Freshness()
        self._polls = Polls(self._poll, random)
        self.following = Following(
            live,
            self._sessions,
            self._polls,
            self._work,
            poll_seconds=poll_seconds,
            check_seconds=check_seconds,
        )
        self._tasks = tasks or Tasks()
        self._closed = False
        self._places = Places()
        self._statistics = SyncStatistics()

    def statistics(self) -> SyncStatistics:
        self._statistics.running = sum(
            each.sync_pass is not None for each in self._sessions.values()
        )
        return self._statistics

    def join(
        self,
        wallet: str,
        observer: WalletObserver,
        follow: bool,
        tenant: Tenant,
        *,
        held: bool = False,
    ) -> None:
        """Somebody came who wants this wallet read. To be followed by one `leave`. `held`: it is
        not read for that one before `go_on` is called."""
        session = self._sessions.get(wallet)
        if session is None:
            relay = Relay(wallet, observer, self, self._sources.journal)
            session = self._sessions[wallet] = WalletSession(wallet, relay)
        session.relay.observer = observer
        session.cancel_linger()
        session.come(tenant, follow)
        self._places.call()
        if follow:
            self.following.begin(session)
        if held and not session.is_read:
            observer.on_unsettled()
        else:
            self.go_on(wallet, follow)

    def go_on(self, wallet: str, follow: bool) -> None:
        """Have the wallet read for one who joined, or say that nothing is newer. A wallet that
        everybody left is no error."""
        session = self._sessions.get(wallet)
        if session is None or session.sync_pass is not None:
            return
        observer = session.relay.observer
        if follow and session.due is not None:
            return  # it is looked at every few seconds anyway
        # Another node may have had the lease since then, and have stored a trade behind the
        # `complete`. Its followers need no new one, and the one who joined here waits for one.
        if not follow and wallet in self._fresh and observer.finished:
            session.settled = True
            observer.on_settled()
            return
        if not follow:
            session.settled = False
            observer.on_unsettled()
        session.news = True
        self._work(session)

    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None:
        """One who joined is gone."""
        session = self._sessions[wallet]
        session.leave(tenant, follow)
        if follow and not session.followers:
            self.following.end(session)
        if not session.deserted:
            return
        if session.sync_pass is not None:
            loop = asyncio.get_running_loop()
            session.linger = loop.call_later(self._linger_seconds, self._stop, session)
        elif session.lease is not None:
            self._work(session)
        elif session.task is None:
            self._forget(session)

    def _forget(self, session: WalletSession) -> None:
        del self._sessions[session.wallet]
        session.relay.close()

    # What other nodes tell (relay.Interest).

    def on_wanted(self, wallet: str, tenants: Collection[Tenant]) -> None:
        session = self._sessions.get(wallet)
        if session is None or session.lease is None:
            return
        if session.sync_pass is not None:
            session.invite(tenants)
            self._places.call()
        elif wallet in self._fresh:
            session.relay.on_settled()
        else:
            session.invite(tenants)
            session.news = True
            self._work(session)

    def on_answered(self, wallet: str, settled: bool) -> None:
        session = self._sessions.get(wallet)
        if session is not None and session.lease is None:
            session.news, session.settled = False, settled

    def on_vacant(self, wallet: str) -> None:
        session = self._sessions.get(wallet)
        if session is not None and not self._closed:
            session.news = True
            self._work(session)

    async def report(self, wallet: str) -> WalletReport | None:
        """What is known of a wallet; None if nothing is. Raises StoreUnavailable."""
        session = self._sessions.get(wallet)
        sync_pass = None if session is None else session.sync_pass
        return await read_report(
            self._sources, wallet, None if sync_pass is None else sync_pass.report
        )

    async def keeps(self, wallet: str) -> bool:
        """Somebody joined it and it was read to its end, or another node has it: one more costs
        next to nothing. Raises StoreUnavailable."""
        session = self._sessions.get(wallet)
        return session.is_read if session else await self._sources.journal.held(wallet)

    async def close(self) -> None:
        """Stop all work; what is journaled stays, and the next pass goes on there."""
        self._closed = True
        self._polls.close()
        for session in self._sessions.values():
            if session.task is not None:
                session.task.cancel()
            elif session.lease is not None:
                session.task = self._started(session, self._give_back(session))
        tasks = [each.task for each in self._sessions.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks)

    def _work(self, session: WalletSession) -> asyncio.Task[None]:
        if session.task is None:
            session.due = None
            session.task = self._started(session, self._serve(session))
        return session.task

    def _started(
        self, session: WalletSession, work: Coroutine[Any, Any, None]
    ) -> asyncio.Task[None]:
        return self._tasks.spawn("sync", work, wallet=session.wallet)

    def _stop(self, session: WalletSession) -> None:
        """Nobody came back to the pass under way; who comes from now on wants another."""
        session.linger = session.sync_pass = None
        if session.task is not None:
            session.task.cancel()

    def _poll(self, wallet: str, due: float) -> asyncio.Task[None] | None:
        session = self._sessions.get(wallet)
        if session is None or session.due != due or session.deserted:
            return None
        session.news = True
        return self._work(session)

    async def _serve(self, session: WalletSession) -> None:
        """Read the wallet as long as somebody wants it newer; then keep it for those who stay."""
        stays = False
        try:
            await self._keep_reading(session)
            stays = not session.deserted
        except WalletDoctorError as error:
            self._fail(session, error)
        except Exception:  # a bug must not leave the wallet's clients waiting
            bug = InternalError("This wallet can't be analysed because of an error of ours.")
            self._fail(session, bug)
            raise
        finally:
            session.cancel_linger()
            session.sync_pass = None
            if not stays:
                await self._give_back(session)
            self._rest(session, stays)

    def _fail(self, session: WalletSession, error: WalletDoctorError) -> None:
        """Tell all who are there; only who comes later wants another try. What goes wrong on a
        node that doesn't read the wallet concerns nobody elsewhere."""
        session.news = False
        relay = session.relay
        told = relay.observer if session.lease is None else relay
        told.on_failed(error, True)

    async def _give_back(self, session: WalletSession) -> None:
        lease, session.lease, session.known = session.lease, None, None
        self.following.end(session)
        if lease is not None:
            try:
                await self._sources.journal.release(lease)
            except StoreUnavailable as error:  # the journal gives it back later
                _log.warning("lease not given back yet", wallet=lease.wallet, error=error.message)

    def _rest(self, session: WalletSession, stays: bool) -> None:
        """Its task is over: what is to become of the wallet?"""
        session.task = None
        if session.deserted:
            self._forget(session)
        elif self._closed:
            return
        elif stays and (session.followers or session.lease is None):
            session.due = self._polls.set(session.wallet, self._pause(session))
        elif session.news:  # came while it was given back
            self._work(session)

    def _pause(self, session: WalletSession) -> float:
        """Seconds until the wallet is looked at again."""
        if session.lease is None:
            return WAITING_AGAIN_SECONDS if session.others else FOLLOWING_AGAIN_SECONDS
        return self.following.pause(session)

    async def _keep_reading(self, session: WalletSession) -> None:
        while (session.news or session.pushed) and not session.deserted:
            try:
                if not await self._read_once(session):
                    return
            except (LeaseLost, StoreAway) as error:
                _log.info("interrupted", wallet=session.wallet, error=error.message)
                session.news = True
                await self._give_back(session)
                await asyncio.sleep(again_seconds(session.interrupted, session.anew))
                session.interrupted += 1
            except WrittenByNewer:
                await self._give_back(session)  # to a server that can read it
                raise

    async def _read_once(self, session: WalletSession) -> bool:
        """One pass with the lease; False if another node has that. Raises LeaseLost, StoreAway."""
        if session.lease is None:
            session.lease = await self._sources.journal.acquire(session.wallet)
            if session.lease is None:
                if session.others:
                    session.relay.want(session.turn.standing)
                return False
            self.following.begin(session)
            return True
        if not (session.others or session.wanted):
            self._account.check_following()
            if session.rests and not self._account.may_spend(session.turn.tenants):
                session.news = False
                return True
        if session.pushed and not session.news and session.known is not None:
            finished = await self._take(session, session.lease)
        else:
            session.news = False
            async with self._places.taken(session.turn, first=session.known is None):
                finished = await self._pass(session, session.lease)
        if finished is None:
            session.failures += 1
            session.pushed.clear()  # the history has it
        else:
            session.failures = session.interrupted = 0
            session.news |= not finished and session.others + session.wanted > 0
        return True

    def _pass_of(self, session: WalletSession, lease: Lease) -> SyncPass:
        sources = replace(self._sources, turn=session.turn)
        return SyncPass(sources, lease, session.relay, session.known)

    async def _take(self, session: WalletSession, lease: Lease) -> bool | None:
        """Take what was pushed. Returns as `_pass`."""
        sync_pass = self._pass_of(session, lease)
        try:
            new = await take(session, sync_pass)
        except (LeaseLost, StoreAway, WrittenByNewer):
            raise
        except WalletDoctorError as error:
            self._statistics.failed(lease.wallet, error)
            return None
        finally:
            session.keep(sync_pass)
            self._statistics.left_unexplained(sync_pass.unexplained)
        if new:
            self._fresh.mark(lease.wallet, False)
            self._statistics.pushed += new
        return sync_pass.known is not None and sync_pass.known.finished

    async def _pass(self, session: WalletSession, lease: Lease) -> bool | None:
        """One pass; whether a `complete` holds now (`Known.finished`), None if it failed."""
        started = monotonic()
        await self._sources.journal.renew(lease)
        known = session.known
        session.sync_pass = sync_pass = self._pass_of(session, lease)
        try:
            head = await sync_pass.execute(lambda: session.others + session.wanted > 0)
        except (LeaseLost, StoreAway, WrittenByNewer):
            raise
        except WalletDoctorError as error:
            hopeless = sync_pass.first or isinstance(error, UpstreamQuota | UpstreamRejected)
            self._statistics.failed(lease.wallet, error)
            session.dismiss()
            session.relay.on_failed(error, hopeless)
            return None
        finally:
            session.sync_pass = None
            session.unsettled_since = None
            session.keep(sync_pass)
            self._statistics.left_unexplained(sync_pass.unexplained)
        self._statistics.passed(lease.wallet, sync_pass, head, monotonic() - started)
        session.anew = session.anew + 1 if session.epoch not in (0, head.epoch) else 0
        session.epoch = head.epoch
        finished = sync_pass.known is not None and sync_pass.known.finished
        self._fresh.mark(lease.wallet, finished)
        if finished or not (session.others or session.wanted):
            if sync_pass.known is not known or not session.settled or session.wanted:
                session.relay.on_settled()
            session.settled = True
            session.dismiss()
        return finished


def again_seconds(interrupted: int, anew: int) -> float:
    """Seconds until a wallet is tried again that lost its lease or its store `interrupted` times in
    a row, and whose journal was begun anew in each of the last `anew` passes."""
    least, most = (AGAIN_SECONDS[0], ANEW_SECONDS) if anew else AGAIN_SECONDS
    return min(least * 2.0 ** min(2 * anew or interrupted, DOUBLINGS_MAX), most)
