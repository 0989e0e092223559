"""What a viewer of one wallet's stream has to see, kept up to date by its events."""

from wd_client import TradeList
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

# Transactions whose trades are kept to be shown: more rows than any terminal has.
ROWS = 400


class Board:
    """`trades` are the newest, oldest first. `away_until`: when the next attempt is due, on the
    caller's timer; None while there is a connection or a first attempt.

    `previewed`: trades of the preview, shown until the first real one comes."""

    def __init__(self, wallet: str) -> None:
        self.wallet = wallet
        self.trades = TradeList(ROWS)
        self.progress: Progress | None = None
        self.summary: Summary | None = None
        self.complete: Complete | None = None
        self.connected: Connected | None = None
        self.away: Away | None = None
        self.away_until: float | None = None
        self.previewed: tuple[Trade, ...] = ()
        self._has_begun = False
        self.notes: list[str] = []

    @property
    def shown(self) -> list[Trade]:
        """Oldest first: the trades, and before the first one those of the preview."""
        return list(self.previewed or self.trades)

    def take(self, event: Event, now: float) -> None:
        """`now` is the timer's."""
        self.trades.take(event)
        match event:
            case Connected():
                self.connected, self.away, self.away_until = event, None, None
            case Progress():
                self.progress = event
            case Preview():
                self.previewed = () if self._has_begun else event.trades
            case Trade():
                self._begin()
                if event.replaces is not None:
                    self.notes = [f"A trade has other numbers now: {event.signature}"]
            case Trades():
                self._begin()
            case Summary():
                self.summary = event
            case Complete():
                self._begin()
                self.complete, self.summary = event, event.summary
            case Retract():
                self.notes = [f"A transaction was taken back: {event.signature}"]
            case Gap():
                self._begin_anew(event)
            case Away():
                self.away, self.away_until = event, now + event.seconds

    def _begin(self) -> None:
        """What comes now is final, so the preview has served its time."""
        self._has_begun, self.previewed = True, ()

    def _begin_anew(self, gap: Gap) -> None:
        self._has_begun, self.previewed = False, ()
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
