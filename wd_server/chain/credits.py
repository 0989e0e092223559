"""What the upstream's plan counts: credits by method, and a budget for each day. Pure.

A day's budget is one for all processes that share a store. Each has a share of what is spent, which
the store counts together with the others'. A tenant with a limit has an account of the same kind
beside that of all.
"""

from collections import Counter
from collections.abc import Callable, Collection
from math import ceil
from typing import NamedTuple

from wd_server.chain.turns import SERVER, Tenant
from wd_server.errors import CreditsSpent, UpstreamQuota

# As published in autumn 2026; failed calls are free. getTransactionsForAddress is 10 per 100 full
# transactions begun: the caller, who sees the page, says so.
CREDITS = {
    "getTransactionsForAddress": 10,
    "getSignaturesForAddress": 1,
    "getTransaction": 1,
    "getBalance": 1,
    "getTokenAccountsByOwner": 1,
    "getAsset": 10,
    "getAssetBatch": 10,
}
DEFAULT_CREDITS = 1  # any other standard RPC call
CONNECTION_CREDITS = 1  # a new WebSocket
# A WebSocket's traffic costs two credits for each 0.1 MB, so one for this many bytes.
BYTES_A_CREDIT = 50_000
DELIVERY_CREDITS = 1  # a webhook's event, whether or not it is wanted
MANAGEMENT_CREDITS = 100  # a call that creates, lists, changes or deletes webhooks

# The share of a day's budget that following may use up. The rest is for requests that don't follow.
FOLLOW_SHARE = 0.95
DAY_SECONDS = 86_400
# Seconds that a clock may be set back over midnight without the day before beginning again. By more
# than this it was wrong, and the day follows it.
SET_BACK_SECONDS = 3600


class Share(NamedTuple):
    """What one process `spent` on a day, counted from 1 January 1970. As of the store's last
    answer: what of that it had `counted`, and the `total` of all processes. `account`: in whose
    name; empty: in anybody's."""

    day: int
    spent: int = 0
    counted: int = 0
    total: int = 0
    account: str = ""

    @property
    def known(self) -> int:
        """Spent by all processes, as far as this one knows."""
        return self.total + self.spent - self.counted

    def total_with(self, stored_total: int, stored_spent: int) -> int:
        """The day's total, from what the store has of all and of this process (0: nothing). A
        share is told whole, so it counts once however often it comes; and whoever knows of more
        than a store that lost something brings it back."""
        counted = max(stored_spent, self.counted)
        return max(stored_total, self.total) + max(self.spent - counted, 0)


class _Account:
    """The shares of one name: today's, and that of the day beside it for what the store wasn't told
    by midnight. `used`: the day on which it was needed last."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.used = 0
        self.day = 0
        self.shares = {0: Share(0, account=name)}

    def today(self, now: float) -> Share:
        day = int(now // DAY_SECONDS)
        if day > self.day or now < self.day * DAY_SECONDS - SET_BACK_SECONDS:
            beside = {each: self.shares[each] for each in self.shares if abs(each - day) == 1}
            today = self.shares.get(day, Share(day, account=self._name))
            self.day, self.shares = day, {day: today, **beside}
        return self.shares[self.day]

    def spend(self, amount: int, now: float) -> None:
        share = self.today(now)
        self.shares[share.day] = share._replace(spent=share.spent + amount)

    def to_tell(self, now: float, *, ask: bool) -> list[Share]:
        """What the store wasn't told yet; today's share in any case where it is to be asked."""
        today = self.today(now)
        return [
            share
            for share in self.shares.values()
            if share.spent > share.counted or (ask and share is today)
        ]


class Credits:
    """`daily` 0: no budget. `clock` gives unix seconds; a day is one of UTC. `on_new_tenant` is
    called when a tenant's account is needed whose total isn't known yet."""

    def __init__(self, daily: int, clock: Callable[[], float]) -> None:
        self.daily = daily
        self.on_new_tenant: Callable[[], None] = lambda: None
        self._clock = clock
        self._spent: Counter[str] = Counter()
        self._bytes = 0
        self._all = _Account("")
        # Of tenants with a limit that were here today or the day before, and whose total the store
        # was asked for since it last answered.
        self._tenants: dict[str, _Account] = {}
        self._asked: set[str] = set()

    @property
    def spent(self) -> dict[str, int]:
        """Credits by method since the start."""
        return dict(self._spent)

    @property
    def today(self) -> int:
        """Credits spent since the day began, by all as far as is known."""
        return self._all.today(self._clock()).known

    @property
    def own_today(self) -> int:
        """Those of them that this process spent."""
        return self._all.today(self._clock()).spent

    def spend(self, method: str, amount: int, tenant: Tenant = SERVER) -> None:
        """In the tenant's name."""
        self._spent[method] += amount
        self._all.spend(amount, self._clock())
        if tenant.credits:
            self._account(tenant).spend(amount, self._clock())

    def spend_bytes(self, count: int) -> None:
        """Bytes that a WebSocket brought."""
        before = self._bytes // BYTES_A_CREDIT
        self._bytes += count
        if self._bytes // BYTES_A_CREDIT > before:
            self.spend("websocket", self._bytes // BYTES_A_CREDIT - before)

    def shares(self) -> list[Share]:
        """What to tell the store now: today's share where there is a limit, whose answer says what
        others spent, and what is left of the day before. A tenant's only where it spent or asked
        for something since the store last answered."""
        now = self._clock()
        self._forget(now)
        told = self._all.to_tell(now, ask=True) if self.daily else []
        for name, account in self._tenants.items():
            told += account.to_tell(now, ask=name in self._asked)
        return told

    def _forget(self, now: float) -> None:
        """Drop accounts that the store has in full and nobody needed for a day. One that was
        needed on the day beside stays: a clock that is set back goes on with it."""
        day = int(now // DAY_SECONDS)
        self._tenants = {
            name: account
            for name, account in self._tenants.items()
            if abs(account.used - day) <= 1 or account.to_tell(now, ask=False)
        }
        self._asked &= self._tenants.keys()

    def count(self, told: Share, total: int) -> None:
        """The store has this share, and `total` of all."""
        account = self._tenants.get(told.account) if told.account else self._all
        share = None if account is None else account.shares.get(told.day)
        if account is not None and share is not None:
            account.shares[told.day] = share._replace(counted=told.spent, total=total)
            self._asked.discard(told.account)

    def check(self, tenants: Collection[Tenant] = ()) -> None:
        """Raises UpstreamQuota if nothing is left of today's budget, CreditsSpent if none of those
        who ask has credits left."""
        self._check(self.daily)
        if tenants and not self.may_spend(tenants):
            raise CreditsSpent(
                "Your key has used up its credits at the Solana RPC for today (UTC). Wallets that "
                "were read before can still be streamed.",
                retry_after=self._until_midnight(),
            )

    def may_spend(self, tenants: Collection[Tenant]) -> bool:
        """Whether one of them has credits left."""
        return any(map(self._has_credits, tenants))

    def _has_credits(self, tenant: Tenant) -> bool:
        if not tenant.credits:
            return True
        self._asked.add(tenant.name)
        return self._account(tenant).today(self._clock()).known < tenant.credits

    def check_following(self) -> None:
        """Raises UpstreamQuota if what is left of today's budget isn't for following."""
        self._check(int(self.daily * FOLLOW_SHARE))

    def _check(self, most: int) -> None:
        if self.daily and self.today >= most:
            raise UpstreamQuota(
                "This server has used up its budget at the Solana RPC for today (UTC). Its "
                "operator may raise UPSTREAM_DAILY_CREDITS.",
                retry_after=self._until_midnight(),
            )

    def _until_midnight(self) -> int:
        now = self._clock()
        return ceil((self._all.today(now).day + 1) * DAY_SECONDS - now)

    def _account(self, tenant: Tenant) -> _Account:
        account = self._tenants.get(tenant.name)
        if account is None:
            account = self._tenants[tenant.name] = _Account(tenant.name)
            self._asked.add(tenant.name)
            self.on_new_tenant()
        account.used = int(self._clock() // DAY_SECONDS)
        return account
