"""What a viewer of one wallet's stream has to see, kept up to date by its events."""

from collections import deque

from wd_client.errors import Refused
from wd_client.events import (
    Away,
    Complete,
    Connected,
    Event,
    Gap,
    Preview,
    Progress,
    Retract,
    Summary,
    Trade,
    Trades,
)

# Trades that are kept to be shown: more rows than any terminal has.
ROWS = 400


class Board:
    """`trades` are the newest, oldest first; `count` is of all. `away_until`: when the next attempt
    is due, on the caller's timer; None while there is a connection or a first attempt.

    `previewed`: trades that are shown until the first real one comes."""

    def __init__(self, wallet: str) -> None:
        self.wallet = wallet
        self.trades: deque[Trade] = deque(maxlen=ROWS)
        self.count = 0
        self.progress: Progress | None = None
        self.summary: Summary | None = None
        self.complete: Complete | None = None
        self.connected: Connected | None = None
        self.away: Away | None = None
        self.away_until: float | None = None
        self.previewed = False
        self.notes: list[str] = []

    def take(self, event: Event, now: float) -> None:
        """`now` is the timer's."""
        match event:
            case Connected():
                self.connected, self.away, self.away_until = event, None, None
            case Progress():
                self.progress = event
            case Preview():
                if not self.count:
                    self.trades.clear()
                    self.trades.extend(event.trades)
                    self.previewed = True
            case Trade():
                self._add(event)
            case Trades():
                for trade in event.trades:
                    self._add(trade)
            case Summary():
                self.summary = event
            case Complete():
                self._end_preview()
                self.complete, self.summary = event, event.summary
            case Retract():
                self._retract(event.signature)
            case Gap():
                self._begin_anew(event)
            case Away():
                self.away, self.away_until = event, now + event.seconds

    def _add(self, trade: Trade) -> None:
        self._end_preview()
        self.trades.append(trade)
        self.count += 1

    def _end_preview(self) -> None:
        if self.previewed:
            self.previewed = False
            self.trades.clear()

    def _retract(self, signature: str) -> None:
        kept = [trade for trade in self.trades if trade.signature != signature]
        self.trades.clear()
        self.trades.extend(kept)
        self.count -= 1
        self.notes = [f"A trade left the chain with a fork: {signature}"]

    def _begin_anew(self, gap: Gap) -> None:
        self.trades.clear()
        self.count = 0
        self.progress = self.summary = self.complete = None
        self.notes = [gap_reason(gap)]


def gap_reason(gap: Gap) -> str:
    """Why everything is read again, for people."""
    if gap.reason == "mismatch":
        return "What came was not what the server proves, so it is read anew."
    if gap.reason == "unknown_id":
        return "The id to go on from is none of this wallet's, so all is read from the beginning."
    if gap.reason == "expired":
        return "What follows the id is no longer stored, so all is read from the beginning."
    return "The server's history began anew, so this did too."


def proof(complete: Complete) -> str | None:
    """What the digest says, for people; None where there was nothing to check."""
    if not complete.verified:
        return None
    return f"{complete.entries:,} entries, all of them and unaltered"


def reason(away: Away) -> str:
    """Why the stream isn't there, for people."""
    cause = away.cause
    return f"{cause} ({cause.code})" if isinstance(cause, Refused) else str(cause)
