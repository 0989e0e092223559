"""How far a sync pass is, said rarely enough and never backwards. Pure."""

from collections import deque

from wd_server.events.event import Progress, Step

# The contract allows a stream four a second. One of them is what a newcomer gets at once, one is
# kept for the last word.
ORDINARY_PER_SECOND = 2

# Where each step begins, in percent.
STARTS: dict[Step, int] = {
    "initializing": 0,
    "fetching_signatures": 1,
    "fetching_transactions": 10,
    "processing_trades": 96,
    "calculating_pnl": 98,
    "complete": 100,
}
# Signatures at which the listing, whose end nobody knows, counts as half done.
LISTING_HALF = 5_000

_MESSAGES: dict[Step, str] = {
    "initializing": "Starting the analysis.",
    "fetching_signatures": "Listing the wallet's transactions.",
    "fetching_transactions": "Reading the wallet's transactions.",
    "processing_trades": "Storing the last trades.",
    "calculating_pnl": "Adding up.",
    "complete": "The analysis is complete.",
}


class ProgressReport:
    """`latest` is the newest state, said or not."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self._said: deque[float] = deque(maxlen=ORDINARY_PER_SECOND)

    def update(
        self, step: Step, now: float, *, signatures: int, done: int, trades: int
    ) -> Progress | None:
        """The progress to tell now, or None if it is too early for another. `now`: unix seconds."""
        percentage = _percentage(step, signatures, done)
        if self.latest is not None:
            percentage = max(percentage, self.latest.percentage)
        self.latest = Progress(
            message=_MESSAGES[step],
            percentage=percentage,
            step=step,
            signatures_found=signatures,
            transactions_done=done,
            trades_found=trades,
            timestamp=int(now),
        )
        crowded = len(self._said) == ORDINARY_PER_SECOND and now - self._said[0] < 1
        if crowded and step != "complete":
            return None
        self._said.append(now)
        return self.latest


def _percentage(step: Step, signatures: int, done: int) -> int:
    start = STARTS[step]
    if step == "fetching_signatures":
        room = STARTS["fetching_transactions"] - start
        return start + room * signatures // (signatures + LISTING_HALF)
    if step == "fetching_transactions" and signatures:
        room = STARTS["processing_trades"] - start
        return start + room * min(done, signatures) // signatures
    return start
