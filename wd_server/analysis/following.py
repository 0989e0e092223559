"""Followed wallets: what is pushed of them, and when one is looked at again."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from wd_server.analysis.attendance import Attendance
from wd_server.analysis.polls import Polls
from wd_server.analysis.run import Run
from wd_server.chain.live import Pushes
from wd_server.chain.payloads import AnyTransaction

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
    what was pushed is held against the history. `work` has an attendance served."""

    def __init__(
        self,
        live: Pushes,
        attended: Mapping[str, Attendance],
        polls: Polls,
        work: Callable[[Attendance], object],
        *,
        poll_seconds: float,
        check_seconds: float,
    ) -> None:
        self._live = live
        self._attended = attended
        self._polls = polls
        self._work = work
        self._poll_seconds = poll_seconds
        self._check_seconds = check_seconds
        live.tell(self)

    # What is pushed (chain.live.Pushed).

    def follows(self, wallet: str) -> bool:
        """Whether somebody does, and this node is the one that reads it."""
        attendance = self._attended.get(wallet)
        return attendance is not None and attendance.followers > 0 and attendance.lease is not None

    def on_transaction(self, wallet: str, transaction: AnyTransaction) -> None:
        if not self.follows(wallet):
            return
        attendance = self._attended[wallet]
        if len(attendance.pushed) < PUSHED_MAX:
            attendance.pushed.append(transaction)
        else:
            attendance.pushed.clear()
            attendance.news = True
        self._work(attendance)

    def on_gap(self, wallets: Iterable[str]) -> None:
        for wallet in filter(self.follows, wallets):
            attendance = self._attended[wallet]
            attendance.news = True  # so that nothing that is pushed comes before it
            if attendance.task is None:
                attendance.due = self._polls.set(wallet, 0)

    def on_lost(self, wallets: Iterable[str]) -> None:
        for wallet in filter(self.follows, wallets):
            attendance = self._attended[wallet]
            if attendance.task is None:
                attendance.due = self._polls.set(wallet, self._poll_seconds)

    # What the analysis tells.

    def begin(self, attendance: Attendance) -> None:
        """Have it pushed from now on, if it is followed and this node is the one that reads it."""
        if self.follows(attendance.wallet):
            self._live.follow(attendance.wallet)

    def end(self, attendance: Attendance) -> None:
        """Nobody follows it any more, or another node may read it. Twice is no error."""
        attendance.pushed.clear()
        self._live.unfollow(attendance.wallet)

    def pause(self, attendance: Attendance) -> float:
        """Seconds until it is to be looked at again."""
        if attendance.failures or not self._live.covers(attendance.wallet):
            doublings = min(attendance.failures, DOUBLINGS_MAX)
            return min(self._poll_seconds * 2.0**doublings, RETRY_SECONDS_MAX)
        if attendance.unsettled_since is None:
            return QUIET_SECONDS
        return max(0.0, attendance.unsettled_since + self._check_seconds - monotonic())


async def take(attendance: Attendance, run: Run) -> int:
    """Journal what was pushed of a wallet that was read to its end. Returns how many transactions
    were new. Raises what a run raises."""
    await asyncio.sleep(HOLD_SECONDS)
    if attendance.news:  # something was missed meanwhile, and comes first
        return 0
    pushed, attendance.pushed = attendance.pushed, []
    await run.take(pushed)
    book = run.known.book if run.known is not None else None
    attendance.news |= book is not None and book.is_full
    return run.transactions
