"""A wallet's signatures as they are listed, page by page, from the newest on, and from the oldest
on as well where that halves the way. Pure."""

import itertools
import math

from msgspec import Struct

from wd_server.chain.faults import unavailable
from wd_server.chain.payloads import BlockIndex, Signature, Slot, Time, check_signature


class Cursor(Struct, frozen=True):
    """The last transaction already processed."""

    slot: int
    signature: str


class ListedSignature(Struct, rename="camel", gc=False):
    """A signature as the upstream lists it. `transaction_index` is its place in the block, where
    the upstream says it; `block_time` is in unix seconds."""

    signature: Signature
    slot: Slot
    transaction_index: BlockIndex | None = None
    block_time: Time | None = None

    def __post_init__(self) -> None:
        check_signature(self.signature)


class Listing:
    """The signatures that were listed so far; the `limit` newest are wanted. `barren_pages`: how
    many pages in a row brought nothing new."""

    def __init__(self, after: Cursor | None, limit: int) -> None:
        self._after = after
        self._limit = limit
        self._listed: dict[str, ListedSignature] = {}
        self._from_oldest: list[list[ListedSignature]] = []
        self._is_from_both_ends = True
        self._oldest_slot: float = math.inf
        self.barren_pages = 0

    def __len__(self) -> int:
        return len(self._listed) + sum(map(len, self._from_oldest))

    @property
    def passed_cursor(self) -> bool:
        return self._after is not None and self._oldest_slot < self._after.slot

    @property
    def is_enough(self) -> bool:
        return self.passed_cursor or self.has_met or len(self._listed) > self._limit

    @property
    def has_met(self) -> bool:
        """What was listed from both ends overlaps, and by a slot: one may be on many pages."""
        pages = self._from_oldest
        return bool(pages) and pages[-1][-1].slot > self._oldest_slot

    def add(self, page: list[ListedSignature]) -> None:
        new = [each for each in page if each.signature not in self._listed]
        # A stable sort: where the upstream tells no index in the block, its own order stands.
        new.sort(key=lambda each: (each.slot, each.transaction_index or 0), reverse=True)
        if new and new[0].slot > self._oldest_slot:
            raise unavailable("its listing is out of order")
        self._listed.update((each.signature, each) for each in new)
        self._oldest_slot = new[-1].slot if new else self._oldest_slot
        self.barren_pages = 0 if new else self.barren_pages + 1
        self._forget_unwanted()

    def add_from_oldest(self, page: list[ListedSignature]) -> bool:
        """A page that isn't empty, oldest first. Returns whether the next one is wanted."""
        if self._is_from_both_ends:
            self._from_oldest.append(page)
            self._forget_unwanted()
        return self._is_from_both_ends and not self.has_met

    def forget_from_oldest(self) -> None:
        """For good: pages that came later would leave a hole."""
        self._is_from_both_ends = False
        self._from_oldest.clear()

    def _forget_unwanted(self) -> None:
        if len(self) > self._limit and not self.has_met:
            self.forget_from_oldest()

    def newest(self, count: int, start: int = 0) -> list[ListedSignature]:
        """So many in chain order, without the `start` newest ones."""
        return list(itertools.islice(self._listed.values(), start, start + count))[::-1]

    def in_chain_order(self, *, cursor_gone: bool) -> list[ListedSignature]:
        """The signatures after the cursor. When that isn't on the chain any more, its slot
        counts."""
        pages, self._from_oldest = self._from_oldest, []
        for page in reversed(pages):
            self.add(page)
        listed = list(self._listed.values())[::-1]
        after = self._after
        if after is None:
            return listed
        for position, each in enumerate(listed):
            if each.signature == after.signature:
                return listed[position + 1 :]
            if each.slot > after.slot:
                break
        if cursor_gone or self.passed_cursor:
            return [each for each in listed if each.slot > after.slot]
        return listed
