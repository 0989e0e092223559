"""A book's tail held against what the chain has: what is fetched takes its place among what is
known. Pure."""

from collections import deque
from collections.abc import Sequence

from wd_server.chain.listing import ListedSignature
from wd_server.sync.book import Book
from wd_server.sync.interpreted import InterpretedTransaction


class Comparison:
    """`chain` is everything after the book's cursor, oldest first; `now` is unix seconds.
    `entries`: for the journal."""

    def __init__(self, book: Book, chain: Sequence[ListedSignature], now: float) -> None:
        self.entries, self._again = book.compared(chain, now)
        self._order = deque(chain)
        self._in_place = {recent.transaction.signature for recent in book.tail}

    def merged(self, interpreted: Sequence[InterpretedTransaction]) -> list[InterpretedTransaction]:
        """The next that were fetched, with what was known and comes before them on the chain."""
        merged = []
        for each in interpreted:
            if each.signature in self._in_place:
                continue
            while self._order and (entry := self._order.popleft()).signature != each.signature:
                if entry.signature in self._again:
                    merged.append(self._again.pop(entry.signature))
            # What was fetched beside others is what was known, but for a time that was close.
            merged.append(self._again.pop(each.signature, each))
        return merged

    def rest(self) -> list[InterpretedTransaction]:
        """What was known and comes after all that was fetched."""
        known = [entry.signature for entry in self._order if entry.signature in self._again]
        return [self._again[signature] for signature in known]
