"""Followed wallets: what is pushed of them, and when one is looked at again."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from wd_server.chain.live import PushSource
from wd_server.chain.payloads import PushedTransaction
from wd_server.sync.polls import Polls
from wd_server.sync.session import WalletSession
from wd_server.sync.sync_pass import SyncPass

# Seconds between two looks at a wallet of which nothing was pushed: a push may get lost. A
# credit or ten for each.
QUIET_SECONDS = 300.0
# Seconds at most between two tries of a follower's wallet whose upstream fails.
RETRY_SECONDS_MAX = 60.0
# Failures in a row after which a pause doubles no more, so that no outage is too long for a float.
DOUBLINGS_MAX = 16
# Seconds that what was pushed waits for what belongs before it on the chain. What comes later is
# put in its place all the same, and what changes by it is sent again.
HOLD_SECONDS = 0.003
# Pushed transactions that wait for a pass to end; beyond it the history has to do.
PUSHED_MAX = 1000


class Following:
    """`poll_seconds`: how often a wallet is looked at that isn't pushed, `check_seconds`: how soon
    what was pushed is held against the history. `work` serves a session."""

    def __init__(
        self,
        live: PushSource,
        attended: Mapping[str, WalletSession],
        polls: Polls,
        work: Callable[[WalletSession], object],
        *,
        poll_seconds: float,
        check_seconds: float,
    ) -> None:
        self._live = live
        self._sessions = attended
        self._polls = polls
        self._work = work
        self._poll_seconds = poll_seconds
        self._check_seconds = check_seconds
        live.set_observer(self)

    # What is pushed (chain.live.PushObserver).

    def follows(self, wallet: str) -> bool:
        """Whether somebody does, and this node is the one that reads it."""
        session = self._sessions.get(wallet)
        return session is not None and session.followers > 0 and session.lease is not None

    def on_transaction(self, wallet: str, transaction: PushedTransaction) -> None:
        if not self.follows(wallet):
            return
        session = self._sessions[wallet]
        if len(session.pushed) < PUSHED_MAX:
            session.pushed.append(transaction)
        else:
            session.pushed.clear()
            session.news = True
        self._work(session)

    def on_gap(self, wallets: Iterable[str]) -> None:
        for wallet in filter(self.follows, wallets):
            session = self._sessions[wallet]
            session.news = True  # so that nothing that is pushed comes before it
            if session.task is None:
                session.due = self._polls.set(wallet, 0)

    def on_lost(self, wallets: Iterable[str]) -> None:
        for wallet in filter(self.follows, wallets):
            session = self._sessions[wallet]
            if session.task is None:
                session.due = self._polls.set(wallet, self._poll_seconds)

    # What the sessions tell.

    def begin(self, session: WalletSession) -> None:
        """Have it pushed from now on, if it is followed and this node is the one that reads it."""
        if self.follows(session.wallet):
            self._live.follow(session.wallet)

    def end(self, session: WalletSession) -> None:
        """Nobody follows it any more, or another node may read it. Twice is no error."""
        session.pushed.clear()
        self._live.unfollow(session.wallet)

    def pause(self, session: WalletSession) -> float:
        """Seconds until it is to be looked at again."""
        if session.failures or not self._live.covers(session.wallet):
            doublings = min(session.failures, DOUBLINGS_MAX)
            return min(self._poll_seconds * 2.0**doublings, RETRY_SECONDS_MAX)
        if session.unsettled_since is None:
            return QUIET_SECONDS
        return max(0.0, session.unsettled_since + self._check_seconds - monotonic())


async def take(session: WalletSession, sync_pass: SyncPass) -> int:
    """Journal what was pushed of a wallet that was read to its end. Returns how many transactions
    were new. Raises what a pass raises."""
    await asyncio.sleep(HOLD_SECONDS)
    if session.news:  # something was missed meanwhile, and comes first
        return 0
    pushed, session.pushed = session.pushed, []
    await sync_pass.take(pushed)
    book = sync_pass.known.book if sync_pass.known is not None else None
    session.news |= book is not None and book.is_full
    return sync_pass.transactions
