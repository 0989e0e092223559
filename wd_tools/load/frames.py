"""Bytes of an event stream -> what a load tester has to know of them.

Thousands of clients that follow one wallet are sent the very same bytes, so `Blocks` remembers what
it read: for most of what arrives, reading is one look into a table.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from wd_client import kinds
from wd_client.chain import link
from wd_client.frame import END, fields

_WITH_TRADES = frozenset({kinds.TRADE, kinds.TRADES})
# Those that stand for entries which are counted: one, or the several of a batch.
_NUMBERED = kinds.COUNTED | {kinds.TRADES}
_STEERING = frozenset({kinds.CONNECTED, kinds.GAP, kinds.COMPLETE, kinds.ERROR, kinds.BYE})
# A quote in JSON text is escaped, so no value can look like one of these keys. Eighteen digits are
# more than any number here has, and few enough to be read at once.
_EMITTED = re.compile(rb'"emitted_at": *(\d{1,18})')
_NUMBER = re.compile(rb'"number": *(\d{1,18})')
_ENTRIES = re.compile(rb'"entries": *(\d{1,18})')
_ID = re.compile(rb"(\d{1,20})-(\d{1,18})")

# What `Blocks` keeps: bytes longer than a few events are hardly ever the same twice, and so many
# blocks are what all wallets together send at one moment. Frames are those of a few histories, of
# about 800 bytes each.
REMEMBERED_BYTES = 8 * 1024
REMEMBERED_BLOCKS = 512
REMEMBERED_FRAMES = 16 * 1024


@dataclass(slots=True)
class Link:
    """An entry as a link of the hash chain. The streams of one wallet come by with the same digest,
    so the last result is kept."""

    event_id: bytes
    payload: bytes
    _before: bytes = field(default=b"", compare=False, repr=False)
    _after: bytes = field(default=b"", compare=False, repr=False)

    def after(self, digest: bytes) -> bytes:
        if digest != self._before:
            self._before, self._after = digest, link(digest, self.event_id, self.payload)
        return self._after


class Item(NamedTuple):
    """One event that a stream has to look at.

    `epoch`: empty without a usable id.
    `seq`: of the id; 0 without any, -1 for one that can't be read.
    `entries`: how many it stands for of those that are counted.
    `trades`: how many of them are trades; -1 for a retract. An older server, where nothing but this
    count tells of a loss, has one trade for each signature, so its retract takes one back.
    `data`: kept of events that steer a stream.
    `retry`: milliseconds.
    `number`: of the last trade or retract in it; of a `complete`, how many came before. None from a
    server that counts none.
    `link`: of an entry that is sent as it is stored.
    """

    name: str
    epoch: bytes = b""
    seq: int = 0
    entries: int = 0
    trades: int = 0
    data: bytes = b""
    retry: int | None = None
    number: int | None = None
    link: Link | None = None

    @property
    def ordinal(self) -> int:
        """What losses are judged by: the number, or with an older server the id."""
        return self.seq if self.number is None else self.number


class Block(NamedTuple):
    """Whole events that came together.

    `items` are those that move or steer a stream. When they are nothing but trades in a row,
    `epoch` is theirs, and a stream whose count is `before` is at `last` afterwards, and at the id
    `seq`; otherwise `epoch` is empty.
    `emitted`: which `emitted_at` (unix milliseconds) how many trades carry; `newest` the latest of
    these, -1 for none.
    """

    events: int
    trades: int
    items: tuple[Item, ...]
    epoch: bytes
    before: int
    last: int
    seq: int
    emitted: tuple[tuple[float, int], ...]
    newest: float


class Frame(NamedTuple):
    """One event: what it adds to its block. `events` is 0 for what is none, such as a comment."""

    events: int
    trades: int
    item: Item | None
    emitted: tuple[float, ...]


class Frames(dict[bytes, Frame]):
    """Frames by their bytes: streams that replay one wallet get the same ones, cut differently."""

    def __missing__(self, text: bytes) -> Frame:
        frame = parse_frame(text)
        if len(text) <= REMEMBERED_BYTES:
            if len(self) >= REMEMBERED_FRAMES:
                self.clear()
            self[text] = frame
        return frame


class Blocks(dict[bytes, Block]):
    """Blocks by their bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._frames = Frames()

    def __missing__(self, data: bytes) -> Block:
        block = parse_block(data, self._frames)
        if len(data) <= REMEMBERED_BYTES:
            if len(self) >= REMEMBERED_BLOCKS:
                self.clear()
            self[data] = block
        return block


def parse_block(data: bytes, frames: Frames) -> Block:
    """`data` is whole events (WHATWG HTML, section 9.2.6), their lines ended by LF."""
    events = trades = 0
    items: list[Item] = []
    emitted: dict[float, int] = {}
    for text in data.split(END):
        one, inside, item, moments = frames[text]
        events += one
        trades += inside
        if item is not None:
            items.append(item)
        for moment in moments:
            emitted[moment] = emitted.get(moment, 0) + 1
    newest = max(emitted) if emitted else -1
    return Block(events, trades, tuple(items), *_row(items), tuple(emitted.items()), newest)


def parse_frame(text: bytes) -> Frame:
    """A frame without the blank line that ends it."""
    encoded, event_id, payload, retry = fields(text)
    name = encoded.decode(errors="replace")
    if payload is None:
        return Frame(0, 0, None if retry is None else Item("", retry=retry), ())
    moments = tuple(map(float, _EMITTED.findall(payload))) if name in _WITH_TRADES else ()
    trades = 1 if name == kinds.TRADE else len(moments)
    moves = event_id or retry is not None or name in _STEERING
    item = _item(name, event_id or b"", trades, payload, retry) if moves else None
    return Frame(1, trades, item, moments)


def _item(name: str, event_id: bytes, inside: int, payload: bytes, retry: int | None) -> Item:
    epoch, seq, entries, trades = b"", 0, 0, inside
    found = _ID.fullmatch(event_id)
    if found is not None:
        epoch, seq = found[1], int(found[2])
        entries = max(inside, 1) if name in _NUMBERED or name == kinds.COMPLETE else 0
    elif event_id:
        seq = -1  # an id that is none of ours
    if event_id and name == kinds.RETRACT:
        trades = -1
    number = _number(name, payload) if epoch else None
    if name == kinds.COMPLETE and number is not None:
        entries = 0
    return Item(
        name,
        epoch,
        seq,
        entries,
        trades,
        data=payload if name in _STEERING else b"",
        retry=retry,
        number=number,
        link=Link(event_id, payload) if epoch and name in kinds.COUNTED else None,
    )


def _number(name: str, payload: bytes) -> int | None:
    if name == kinds.COMPLETE:
        found = _ENTRIES.search(payload)
        return None if found is None else int(found[1])
    numbers = _NUMBER.findall(payload) if name in _NUMBERED else ()
    return int(numbers[-1]) if numbers else None


def _row(items: list[Item]) -> tuple[bytes, int, int, int]:
    """The epoch, the counts before and after, and the last id's `seq`, of trades in a row."""
    nothing = b"", 0, 0, 0
    if not items:
        return nothing
    epoch, seq = items[0].epoch, items[0].seq - 1
    before = last = items[0].ordinal - items[0].entries
    for item in items:
        last += item.entries
        if item.epoch != epoch or item.ordinal != last or item.seq <= seq:
            return nothing
        if not item.entries or item.trades != item.entries:
            return nothing
        if item.data or item.retry is not None:
            return nothing
        seq = item.seq
    return epoch, before, last, seq
