"""A wallet's signatures as they are listed, newest first, page by page. Pure."""

import itertools
import math

from msgspec import Struct

from wd_server.chain.faults import unavailable


class Cursor(Struct, frozen=True):
    """The last transaction already processed."""

    slot: int
    signature: str


class Entry(Struct, rename="camel", gc=False):
    """One line of the list. `transaction_index` is the place in the block, where it is told."""

    signature: str
    slot: int
    transaction_index: int | None = None


class Listing:
    """What was listed so far. `barren_pages`: how many in a row brought nothing new."""

    def __init__(self, after: Cursor | None) -> None:
        self._after = after
        self._entries: dict[str, Entry] = {}
        self._oldest_slot: float = math.inf
        self.barren_pages = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def passed_cursor(self) -> bool:
        return self._after is not None and self._oldest_slot < self._after.slot

    def add(self, page: list[Entry]) -> None:
        new = [each for each in page if each.signature not in self._entries]
        # A stable sort: where the upstream tells no index in the block, its own order stands.
        new.sort(key=lambda each: (each.slot, each.transaction_index or 0), reverse=True)
        if new and new[0].slot > self._oldest_slot:
            raise unavailable("its listing is out of order")
        self._entries.update((each.signature, each) for each in new)
        self._oldest_slot = new[-1].slot if new else self._oldest_slot
        self.barren_pages = 0 if new else self.barren_pages + 1

    def newest(self, count: int) -> list[Entry]:
        return list(itertools.islice(self._entries.values(), count))[::-1]

    def in_chain_order(self, *, cursor_gone: bool) -> list[Entry]:
        """What is after the cursor. When that isn't on the chain any more, its slot counts."""
        entries = list(self._entries.values())[::-1]
        after = self._after
        if after is None:
            return entries
        for position, entry in enumerate(entries):
            if entry.signature == after.signature:
                return entries[position + 1 :]
            if entry.slot > after.slot:
                break
        if cursor_gone or self.passed_cursor:
            return [entry for entry in entries if entry.slot > after.slot]
        return entries
