"""Which wallets this node may write, in Redis.

A lease names its holder, `<node>/<n>`. It needs no renewal of its own: a lease whose node is dead
(membership.py) may be taken. Everything that writes names the holder, and Redis refuses a writer
that isn't the holder any more. So what a node believes about which nodes live can cost a wallet its
lease and never an entry its place.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from time import monotonic

import structlog

from wd_server.errors import StoreUnavailable
from wd_server.events.ids import EventId
from wd_server.journal.base import Lease, LeaseLost
from wd_server.redis import journal_scripts as scripts
from wd_server.redis.link import RedisLink
from wd_server.redis.membership import RedisMembership

# Seconds after which an append says again how long the wallet is to be kept.
KEEP_AGAIN_SECONDS = 3600.0
# Times that a lease is asked for when others take it at the same moment.
TRIES = 3

_log = structlog.get_logger("journal")


@dataclass(slots=True, eq=False)
class Held:
    """A lease of this node. `seq` and `kind` are of the newest entry of `epoch`; the next epoch has
    to be greater than `floor`. `in_flight`: requests whose answer will be told here, so their
    announcements are not. `kept_at`: when Redis was last told how long to keep the wallet."""

    wallet: str
    token: int
    holder: str
    epoch: int
    seq: int
    kind: str
    floor: int
    requests: int = 0
    in_flight: set[int] = field(default_factory=set)
    kept_at: float = field(default_factory=monotonic)


class Leases:
    """`keep_seconds`: how long a wallet is kept without an event. `on_vacant` is called for a
    wallet whose lease may be free, or isn't ours any more."""

    def __init__(
        self,
        link: RedisLink,
        membership: RedisMembership,
        keep_seconds: int,
        on_vacant: Callable[[str], None],
    ) -> None:
        self.lost = 0
        # The last write failed. A heartbeat is one, so this is never older than that.
        self.failing = False
        self._link = link
        self._membership = membership
        self._keep_seconds = keep_seconds
        self._on_vacant = on_vacant
        self._held: dict[str, Held] = {}
        self._numbers = count(1)
        # Wallets whose lease another has, by the node: who is dead frees them.
        self._others: dict[str, str] = {}
        self._returns: set[asyncio.Task[None]] = set()
        membership.tell_of_key(self)

    def __len__(self) -> int:
        return len(self._held)

    async def close(self) -> None:
        """They are free for others when the membership has ended. Closing twice is no error."""
        await self._link.tasks.end(*self._returns)
        self._held.clear()
        self._others.clear()

    # One wallet's

    def mine(self, lease: Lease) -> Held:
        """Raises LeaseLost."""
        held = self._held.get(lease.wallet)
        if held is None or held.token != lease.token:
            raise LeaseLost("Another writer has taken this wallet over.")
        return held

    def of(self, wallet: str) -> Held | None:
        return self._held.get(wallet)

    async def acquire(self, wallet: str, told: EventId) -> Lease | None:
        """`told`: the newest entry that anybody on this node was told of. A wallet that has less
        has lost entries: it has no journal then."""
        if wallet in self._held:
            self._others[wallet] = self._membership.node
            return None
        holder, instead = f"{self._membership.node}/{next(self._numbers)}", ""
        for _ in range(TRIES):
            try:
                answer = await self._link.run(
                    scripts.ACQUIRE,
                    scripts.keys(wallet),
                    (holder, instead, told.epoch, told.seq, self._keep_seconds),
                )
            except (StoreUnavailable, asyncio.CancelledError):
                self._return(wallet, holder)  # it may be ours now, and nobody would know
                raise
            if answer[0]:
                self._others.pop(wallet, None)
                return self._granted(wallet, holder, answer[1:])
            instead = answer[1].decode()
            # Noted before asking, so that a release that is announced meanwhile isn't missed.
            self._others[wallet] = node = instead.partition("/")[0]
            is_other = node != self._membership.node
            if is_other and await self._membership.lives(node) and wallet in self._others:
                return None
        return None

    def _granted(self, wallet: str, holder: str, answer: list[bytes]) -> Lease:
        token, epoch, seq, kind, floor = answer
        self._held[wallet] = held = Held(
            wallet,
            int(token),
            holder,
            epoch=int(epoch or 0),
            seq=int(seq or 0),
            kind=kind.decode(),
            floor=max(int(floor), int(epoch or 0)),
        )
        return Lease(wallet, held.token)

    async def is_held(self, wallet: str) -> bool:
        if wallet in self._held:
            return True
        key = scripts.keys(wallet)[0]
        holder = await self._link.call(key, "HGET", key, "h")
        return bool(holder) and await self._membership.lives(holder.decode().partition("/")[0])

    async def renew(self, held: Held) -> None:
        """Raises LeaseLost, StoreUnavailable. Asks Redis only if another may have taken it, or if
        the wallet would be forgotten."""
        forgotten_soon = monotonic() >= held.kept_at + self._keep_seconds / 2
        if forgotten_soon or not self._membership.surely_alive:
            await self._confirm(held)

    async def _confirm(self, held: Held) -> None:
        asked = monotonic()
        keys, arguments = scripts.keys(held.wallet), (held.holder, self._keep_seconds)
        if not await self._link.run(scripts.RENEW, keys, arguments):
            self.drop(held)
            raise LeaseLost("Another writer has taken this wallet over.")
        held.kept_at = asked

    async def release(self, held: Held) -> None:
        """Raises StoreUnavailable; it is then given back as soon as Redis answers."""
        if self._held.get(held.wallet) is held:
            del self._held[held.wallet]
        try:
            await self._give_back(held.wallet, held.holder)
        except (StoreUnavailable, asyncio.CancelledError):
            self._return(held.wallet, held.holder)
            raise

    def keep(self, held: Held) -> int | str:
        """What to tell Redis with an append: how long to keep the wallet, '' if it knows."""
        now = monotonic()
        if held.seq and now < held.kept_at + min(KEEP_AGAIN_SECONDS, self._keep_seconds / 2):
            return ""
        held.kept_at = now
        return self._keep_seconds

    def give_up(self, held: Held) -> None:
        """Nobody knows what the last write did."""
        if self._held.get(held.wallet) is held:
            self.drop(held)
            self._return(held.wallet, held.holder)

    def drop(self, held: Held) -> None:
        """It is lost."""
        if self._held.get(held.wallet) is held:
            del self._held[held.wallet]
            self.lost += 1
            _log.warning("lease lost", wallet=held.wallet)

    def over(self, wallet: str, token: int) -> bool:
        """Leases before this token are over. Whether one of this node was."""
        held = self._held.get(wallet)
        if held is None or held.token >= token:
            return False
        self.drop(held)
        self._on_vacant(wallet)
        return True

    def forget(self, wallet: str) -> bool:
        """Wait no more for this wallet's lease; whether somebody here did."""
        return self._others.pop(wallet, None) is not None

    async def _give_back(self, wallet: str, holder: str) -> None:
        await self._link.run(scripts.RELEASE, scripts.keys(wallet), (holder,))

    def _return(self, wallet: str, holder: str) -> None:
        """Give a lease back that may be ours, however long Redis is away; twice, since what asked
        for it may still be on its way over a connection that was given up."""

        async def give_back() -> None:
            given = 0
            while given < 2:
                with suppress(StoreUnavailable):
                    await self._give_back(wallet, holder)
                    given += 1
                await asyncio.sleep(self._membership.pace.heartbeat)

        task = self._link.tasks.keep("lease_return", give_back)
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    # Heartbeats

    async def on_heartbeat(self, *, unbroken: bool) -> None:
        if not unbroken:
            await self._verify()
        await self._look_for_dead()
        self.failing = False

    def on_silence(self, error: StoreUnavailable) -> None:
        self.failing = True

    async def _verify(self) -> None:
        """Others may have taken leases of ours: find out which, before the first write does."""
        held = list(self._held.values())
        found = await asyncio.gather(*map(self._confirm, held), return_exceptions=True)
        lost = [each for each, error in zip(held, found, strict=True) if error is not None]
        _log.warning("was taken for dead", leases=len(held), lost=len(lost))
        for each in lost:
            self._on_vacant(each.wallet)

    async def _look_for_dead(self) -> None:
        for node in set(self._others.values()):
            if not await self._membership.lives(node):
                freed = [wallet for wallet, other in self._others.items() if other == node]
                for wallet in freed:
                    del self._others[wallet]
                    self._on_vacant(wallet)
