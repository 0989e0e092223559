"""Pages of a wallet's transactions, as the two history methods cut them."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Literal

from msgspec import Struct

from wd_tools.simulator.commitments import Commitment
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.limits import PAGE

Place = tuple[int, int]
_place = attrgetter("place")


class BadParameter(ValueError):
    """The request can't be answered as it stands."""


class SignaturesConfig(Struct, rename="camel"):
    """Of getSignaturesForAddress."""

    limit: int | None = PAGE
    before: str | None = None
    until: str | None = None
    commitment: Commitment = "finalized"


class IntRange(Struct):
    gte: int | None = None
    gt: int | None = None
    lte: int | None = None
    lt: int | None = None
    eq: int | None = None

    def has(self, value: int) -> bool:
        return (
            (self.gte is None or value >= self.gte)
            and (self.gt is None or value > self.gt)
            and (self.lte is None or value <= self.lte)
            and (self.lt is None or value < self.lt)
            and (self.eq is None or value == self.eq)
        )


class SignatureRange(Struct):
    gte: str | None = None
    gt: str | None = None
    lte: str | None = None
    lt: str | None = None


class Filters(Struct, rename="camel", forbid_unknown_fields=True):
    slot: IntRange | None = None
    block_time: IntRange | None = None
    signature: SignatureRange | None = None
    status: Literal["succeeded", "failed", "any"] = "any"
    token_accounts: Literal["none", "balanceChanged", "all"] = "none"


class HistoryConfig(Struct, rename="camel"):
    """Of getTransactionsForAddress."""

    transaction_details: Literal["signatures", "full"] = "signatures"
    sort_order: Literal["asc", "desc"] = "desc"
    limit: int | None = None
    pagination_token: str | None = None
    encoding: Literal["json", "jsonParsed"] = "json"
    max_supported_transaction_version: int | None = None
    commitment: Commitment = "finalized"
    filters: Filters | None = None


class Bounds(Struct, frozen=True):
    """The places between which a page lies, both exclusive; None: open."""

    after: Place | None = None
    before: Place | None = None


def check_limit(limit: int | None) -> int:
    if limit is None:
        return PAGE
    if not 1 <= limit <= PAGE:
        raise BadParameter(f"Invalid limit; max {PAGE}")
    return limit


def older(entries: Sequence[Entry], limit: int, bounds: Bounds) -> list[Entry]:
    """The newest `limit` entries between the bounds, newest first."""
    low, high = _span(entries, bounds)
    return list(reversed(entries[max(low, high - limit) : high]))


def page(
    entries: Sequence[Entry], config: HistoryConfig, bounds: Bounds
) -> tuple[list[Entry], str | None]:
    """A page in the order asked for, and the token of the next one."""
    limit = check_limit(config.limit)
    token = _token_place(config.pagination_token)
    low, high = _span(entries, bounds)
    ascending = config.sort_order == "asc"
    if token is not None and ascending:
        low = max(low, bisect_right(entries, token, key=_place))
    elif token is not None:
        high = min(high, bisect_left(entries, token, key=_place))
    order = range(low, high) if ascending else range(high - 1, low - 1, -1)
    found: list[Entry] = []
    for entry in _matching(entries, order, config):
        if len(found) == limit:
            return found, "{}:{}".format(*found[-1].place)
        found.append(entry)
    return found, None


def _matching(entries: Sequence[Entry], order: range, config: HistoryConfig) -> Iterator[Entry]:
    filters = config.filters or Filters()
    legacy_only = (
        config.transaction_details == "full" and config.max_supported_transaction_version is None
    )
    for index in order:
        entry = entries[index]
        if legacy_only and not entry.legacy:
            continue
        if filters.status != "any" and (entry.err is None) != (filters.status == "succeeded"):
            continue
        if filters.slot and not filters.slot.has(entry.slot):
            continue
        if filters.block_time and not filters.block_time.has(entry.block_time):
            continue
        yield entry


def _span(entries: Sequence[Entry], bounds: Bounds) -> tuple[int, int]:
    low, high = 0, len(entries)
    if bounds.after is not None:
        low = bisect_right(entries, bounds.after, key=_place)
    if bounds.before is not None:
        high = bisect_left(entries, bounds.before, key=_place)
    return low, max(low, high)


def _token_place(token: str | None) -> Place | None:
    if token is None:
        return None
    slot, _, position = token.partition(":")
    if not (slot.isdecimal() and position.isdecimal()):
        raise BadParameter("Invalid paginationToken")
    return int(slot), int(position)
