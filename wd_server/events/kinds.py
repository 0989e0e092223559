"""The kinds of events: one table, which everything that speaks of several kinds is made from.

A stream of one wallet, and what the table says of each of its events:

    connected                          no id, first on every connection
    progress                           no id, while the history is read
    7-1 trade     {"number":1, ...}    stored and counted
    7-2 movement  {"postings":[...]}   stored, not counted; only where `include` names it
    7-3 trade     {"number":2, ...}    stored and counted
    7-4 complete  {"entries":2, ...}   stored, not counted
    heartbeat                          no id

A *stored* event is an entry of the wallet's journal. It has an id, so it moves the position of a
client. A *counted* one carries a `number`. The hash chains of sync/proof.py have the counted ones,
and all that are *chained*.

A new kind needs its Struct in event.py, the meanings of its fields in meanings.py, its row in
`EVENTS`, and the code that makes such events. `make docs` writes the rest: the types of both
clients, what the page listens to, and docs/events.md.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from wd_server.events import event
from wd_server.trading.summary import Summary
from wd_server.trading.trade import Trade

# Kinds that the server treats in ways of their own.
TRADE: Final = "trade"
TRADES: Final = "trades"
COMPLETE: Final = "complete"
RETRACT: Final = "retract"
MOVEMENT: Final = "movement"


class Shown(Enum):
    """Which streams are shown events of a kind, and when, in words for readers."""

    ALWAYS = "on every stream"
    UNFINISHED = "while the history is read"
    SINGLY = "without `batch`"
    IN_BATCHES = "with `batch`"
    FOLLOWERS = "with `follow`"
    INCLUDED = "with `include=movements`"
    NEWEST = "with `follow`; else only as the newest entry"


class EventKind(NamedTuple):
    """What holds for all events of one name.

    `name`: on the wire.
    `data`: the Struct whose JSON is the event's data.
    `about`: its purpose, in a sentence for readers.
    `shown`: which streams are shown it, and when.
    `stored`: it is an entry of the journal.
    `counted`: it has a `number`, and `complete` proves it.
    `has_id`: it moves a client's position. An event that is made of stored ones has the last id.
    `scope`: what it is about; on a connection with several wallets, one about a wallet names it.
    `added`: fields that older servers, and entries which they stored, don't have.
    """

    name: str
    data: type[Struct]
    about: str
    shown: Shown = Shown.ALWAYS
    stored: bool = False
    counted: bool = False
    has_id: bool = False
    scope: Literal["wallet", "connection"] = "wallet"
    added: frozenset[str] = frozenset()

    @property
    def component(self) -> str:
        """The name of its schema."""
        return f"{self.name.capitalize()}Event"


EVENTS: Final = (
    EventKind(
        "connected",
        event.Connected,
        "The stream is open: who it is and how it was taken up.",
        scope="connection",
    ),
    EventKind(
        "preview",
        event.Preview,
        "Up to 25 of the newest trades, without P&L, while a long history is still being listed. "
        "It may come twice, the second time with names and prices.",
        Shown.UNFINISHED,
    ),
    EventKind(
        "progress",
        event.Progress,
        "How much of the history has been read; at most four a second.",
        Shown.UNFINISHED,
    ),
    EventKind(
        TRADE,
        Trade,
        "One trade, in the order of the chain and final: its P&L is known.",
        Shown.SINGLY,
        stored=True,
        counted=True,
        has_id=True,
        added=frozenset(
            {
                *("part", "parts", "block_index", "token", "price_sol"),
                *("network_fee_sol", "priority_fee_sol", "tip_sol", "platform_fee_sol"),
            }
        ),
    ),
    EventKind(
        TRADES,
        event.Trades,
        "A batch of trades, where `batch` was asked for. Its id is the last one's.",
        Shown.IN_BATCHES,
        has_id=True,
    ),
    EventKind(
        "summary",
        Summary,
        "The wallet's totals after new trades, for who follows; at most one a second.",
        Shown.FOLLOWERS,
    ),
    EventKind(
        COMPLETE,
        event.Complete,
        "The whole history was sent. A stream that doesn't follow ends here.",
        Shown.NEWEST,
        stored=True,
        has_id=True,
        added=frozenset({"entries", "digest", "entries_all", "digest_all"}),
    ),
    EventKind(
        RETRACT,
        event.Retract,
        "A transaction left the chain with a fork, or its trades come again with other numbers: "
        "take all of them back.",
        stored=True,
        counted=True,
        has_id=True,
        added=frozenset({"number"}),
    ),
    EventKind(
        MOVEMENT,
        event.Movement,
        "What a transaction without a trade moved: a transfer, custody, a claim, a round trip; or "
        "that it failed. A later one with the same `signature` stands in its place.",
        Shown.INCLUDED,
        stored=True,
        has_id=True,
    ),
    EventKind(
        "heartbeat",
        event.Heartbeat,
        "Nothing else was sent for `heartbeat_seconds`.",
        scope="connection",
    ),
    EventKind(
        "gap",
        event.Gap,
        "What you hold can't be continued: discard it, the whole history follows.",
    ),
    EventKind(
        "error",
        event.Error,
        "Something went wrong; the stream ends. With `retry_after` it is worth coming back.",
    ),
    EventKind(
        "bye",
        event.Bye,
        "You are sent away; the stream ends. A `retry:` line says when to come back.",
        scope="connection",
    ),
)

BY_NAME: Final[Mapping[str, EventKind]] = {kind.name: kind for kind in EVENTS}
BY_DATA: Final[Mapping[type[Struct], EventKind]] = {kind.data: kind for kind in EVENTS}
COUNTED: Final = frozenset(kind.name for kind in EVENTS if kind.counted)
# Entries that keep their place in what is shown, whatever is stored after them: the *chained* ones.
LASTING: Final = frozenset(
    kind.name for kind in EVENTS if kind.stored and kind.shown is not Shown.NEWEST
)
# Entries that only streams which ask for them are shown. They overtake no `complete`.
INCLUDED: Final = frozenset(kind.name for kind in EVENTS if kind.shown is Shown.INCLUDED)
