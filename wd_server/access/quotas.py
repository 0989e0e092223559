"""What a caller may use: requests and wallets a minute, and open streams, over all nodes.

`Counters` is the contract of what counts them; `tests/contract/test_counters.py` holds every
implementation to it. One process alone counts in memory; several count in Redis.
"""

import asyncio
from typing import Protocol

from wd_server.access.principal import Principal
from wd_server.access.windows import UNLIMITED, Counted, Usage
from wd_server.errors import RateLimited, StoreUnavailable, TooManyStreams

# When to try again for a stream: nobody knows when one of the others ends.
STREAMS_RETRY_SECONDS = 5
# Until a wallet that waits tries again: at most, since nobody knows what others ask for meanwhile,
# and where the store didn't answer.
WALLET_RETRY_SECONDS = 5.0
STORE_RETRY_SECONDS = 1.0


class Counters(Protocol):
    """`who` is a subject, `limit` is 1 or more. Raises StoreUnavailable. Streams that are still
    counted when the backend closes are given back."""

    async def spend(self, who: str, limit: int, what: Counted = "requests") -> Usage:
        """One more, if there were fewer than `limit` in the last minute. It is counted by one clock
        for all nodes, which a wrong time of day doesn't stop."""

    async def enter(self, who: str, limit: int) -> bool:
        """One open stream more, unless there are `limit` already, on all nodes that live."""

    def leave(self, who: str) -> None:
        """Give back what an `enter` was granted. Doesn't wait; other nodes see it soon."""


class Quotas:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    async def spend(self, principal: Principal) -> Usage:
        """One request. Raises RateLimited, StoreUnavailable."""
        limit = principal.requests_a_minute
        if not limit:
            return UNLIMITED
        usage = await self._counters.spend(principal.who, limit)
        if not usage.allowed:
            raise RateLimited(
                f"More than {limit} requests in a minute. Try again in {usage.seconds} s.",
                retry_after=usage.seconds,
                headers=usage.headers(),
            )
        return usage

    async def spend_wallet(self, principal: Principal) -> None:
        """One wallet that has to be read. Raises RateLimited, StoreUnavailable."""
        usage = await self._spend_wallet(principal)
        if not usage.allowed:
            raise RateLimited(
                f"More than {usage.limit} wallets in a minute that had to be read from the chain. "
                f"Try again in {usage.seconds} s.",
                retry_after=usage.seconds,
                headers=usage.headers("wallets"),
            )

    async def spend_wallets(self, principal: Principal, wanted: int) -> int:
        """So many of them, as far as allowed. Returns how many. Raises StoreUnavailable."""
        for number in range(wanted):
            if not (await self._spend_wallet(principal)).allowed:
                return number
        return wanted

    async def wait_for_wallet(self, principal: Principal) -> None:
        """One wallet, as soon as it is allowed; while the store is away nothing is."""
        while True:
            try:
                usage = await self._spend_wallet(principal)
            except StoreUnavailable:
                await asyncio.sleep(STORE_RETRY_SECONDS)
            else:
                if usage.allowed:
                    return
                await asyncio.sleep(min(usage.seconds, WALLET_RETRY_SECONDS))

    async def _spend_wallet(self, principal: Principal) -> Usage:
        limit = principal.wallets_a_minute
        if not limit:
            return UNLIMITED
        return await self._counters.spend(principal.who, limit, "wallets")

    async def enter(self, principal: Principal) -> None:
        """One open stream. Raises TooManyStreams, StoreUnavailable."""
        entered: list[str] = []
        try:
            for who, limit in _stream_limits(principal):
                if not await self._counters.enter(who, limit):
                    raise _too_many(limit)
                entered.append(who)
        except BaseException:
            for who in entered:
                self._counters.leave(who)
            raise

    def leave(self, principal: Principal) -> None:
        for who, _ in _stream_limits(principal):
            self._counters.leave(who)


def _stream_limits(principal: Principal) -> list[tuple[str, int]]:
    """A token with a limit of its own counts twice: for itself and for its key."""
    limits = [(principal.who, principal.streams)]
    if principal.token_streams:
        limits.append((f"{principal.who}/{principal.jti}", principal.token_streams))
    return [(who, limit) for who, limit in limits if limit]


def _too_many(limit: int) -> TooManyStreams:
    return TooManyStreams(
        f"There are {limit} open streams already, as many as allowed. Close one, or try again.",
        retry_after=STREAMS_RETRY_SECONDS,
        headers={
            "RateLimit-Policy": f'"streams";q={limit};qu="concurrent-requests"',
            "RateLimit": '"streams";r=0',
        },
    )
