"""What the server stores, or gives out and takes back, written down as text: its layout.

`python -m tests.architecture.stored_formats` records the layout of each format in `stored/`, under
its version. A record is never overwritten, since servers of that version are in use.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import inspect

from wd_server.access.keys import ApiKey
from wd_server.embedded import journal_file
from wd_server.embedded import keys as keys_file
from wd_server.events import event
from wd_server.journal.base import NewEntry
from wd_server.streaming import bundle_id
from wd_server.sync import book, checkpoint, relay
from wd_server.sync.proof import Proof
from wd_server.trading import ledger
from wd_server.trading.continuity import KnownBalances
from wd_server.trading.trade import Trade

FOLDER = Path(__file__).parent / "stored"

Lines = Iterator[str]


class Format(NamedTuple):
    """`version`: as the stored bytes say it; of one that `grows`, whose bytes don't say it, as it
    is counted here. `where`: what has to be changed with the layout. `grows`: other versions read
    it, so fields may only be added, and need a default."""

    name: str
    version: int
    where: str
    lines: Callable[[], Lines]
    grows: bool = False

    @property
    def layout(self) -> str:
        return "".join(f"{line}\n" for line in self.lines())

    @property
    def record(self) -> Path:
        return FOLDER / f"{self.name}.{self.version}.txt"


def formats() -> list[Format]:
    sync = "VERSION in wd_server/sync/checkpoint.py, and unpack(), which reads earlier ones"
    return [
        Format("checkpoint", checkpoint.VERSION, sync, _checkpoint),
        Format(
            "ledger",
            ledger.CHECKPOINT_VERSION,
            "CHECKPOINT_VERSION in wd_server/trading/ledger.py, and Ledger.from_bytes(); "
            + sync.replace("VERSION", "also VERSION", 1),
            lambda: _layout("ledger", ledger._Checkpoint),
        ),
        # They are read as they are by clients, who ignore fields that they don't know.
        Format("entries", checkpoint.VERSION, sync, _entries),
        Format(
            "key",
            2,
            "the number in tests/architecture/stored_formats.py",
            lambda: _layout("key", ApiKey),
            grows=True,
        ),
        Format(
            "notices",
            3,
            "the number in tests/architecture/stored_formats.py",
            _notices,
            grows=True,
        ),
        Format(
            "bundle_id",
            int(bundle_id.PURPOSE.rpartition(" ")[2]),
            "the number in PURPOSE in wd_server/streaming/bundle_id.py: ids of clients that come "
            "back are then refused",
            _bundle_id,
        ),
        Format(
            "journal_db",
            len(journal_file.MIGRATIONS),
            "MIGRATIONS in wd_server/embedded: add one, and leave those that are there alone",
            lambda: _tables(journal_file.MIGRATIONS),
        ),
        Format(
            "keys_db",
            len(keys_file.MIGRATIONS),
            "MIGRATIONS in wd_server/embedded: add one, and leave those that are there alone",
            lambda: _tables(keys_file.MIGRATIONS),
        ),
    ]


def _checkpoint() -> Lines:
    yield f"begins with: {checkpoint.pack(_EMPTY)[:1].hex()} and a CRC-32 of 4 bytes"
    yield from _layout("checkpoint", checkpoint.Checkpoint)
    yield from _layout("unsettled", book._Unsettled)


def _entries() -> Lines:
    yield from _layout("trade", Trade)
    yield from _layout("retract", event.Retract)
    yield from _layout("complete", event.Complete)
    yield from _layout("movement", event.Movement)


def _notices() -> Lines:
    yield from _layout("notice", relay._decoder.type)
    yield from _layout("appended", tuple[str, int, list[NewEntry]])


class _Signer:
    """Seals as long as real ones, of nothing."""

    def seal(self, purpose: str, message: bytes) -> bytes:
        return bytes(bundle_id.SEAL_BYTES)

    def is_seal(self, purpose: str, message: bytes, seal: bytes) -> bool:
        return True


def _bundle_id() -> Lines:
    """By example: of two wallets, one has moved."""
    positions = bundle_id.Positions(("first", "second"), bundle_id.Seal(_Signer(), "subject"))
    positions.move(1, 2, 300)
    yield f"nothing of the first, entry 300 of epoch 2 of the second: {positions.id()}"


def _tables(migrations: Sequence[str]) -> Lines:
    connection = sqlite3.connect(":memory:")
    for migration in migrations:
        connection.executescript(migration)
    names = "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
    for (table,) in connection.execute(names).fetchall():
        yield table
        for _, column, kind, not_null, _, key in connection.execute(f"PRAGMA table_info({table})"):
            yield f"    {column}: {kind}{' not null' * not_null}{' primary key' * bool(key)}"


def _layout(name: str, kind: object) -> Lines:
    """A line for each field, in their order, with the fields of its own below it."""
    return _field(name, inspect.type_info(kind), "", {}, name)


def _field(name: str, kind: inspect.Type, indent: str, seen: dict[type, str], path: str) -> Lines:
    yield f"{indent}{name}: {_described(kind)}"
    indent += "    "
    structs = list(_structs(kind))
    for inner in structs:
        below = indent
        if len(structs) > 1:
            yield f"{indent}{_described(inner)}"
            below += "    "
        if inner.cls in seen:
            yield f"{below}as {seen[inner.cls]}"
            continue
        seen[inner.cls] = path
        for each in inner.fields:
            label = each.encode_name + ("" if each.required else "?")
            yield from _field(label, each.type, below, seen, f"{path}.{each.encode_name}")


def _described(kind: inspect.Type) -> str:
    """Without names of classes, which aren't stored."""
    match kind:
        case inspect.StructType(tag=None) | inspect.NamedTupleType():
            is_array = isinstance(kind, inspect.NamedTupleType) or kind.array_like
            return "array" if is_array else "object"
        case inspect.StructType():
            return f"object with {kind.tag_field} {kind.tag}"
        case inspect.UnionType():
            return " or ".join(map(_described, kind.types))
        case inspect.LiteralType():
            return "one of " + ", ".join(map(str, kind.values))
        case inspect.DictType():
            return f"map of {_described(kind.key_type)} to {_described(kind.value_type)}"
        case inspect.TupleType():
            return f"array of {', '.join(map(_described, kind.item_types))}"
        case inspect.CollectionType():
            return f"list of {_described(kind.item_type)}"
        case _:
            return type(kind).__name__.removesuffix("Type").lower().replace("none", "null")


def _structs(kind: inspect.Type) -> Iterator[inspect.StructType | inspect.NamedTupleType]:
    match kind:
        case inspect.StructType() | inspect.NamedTupleType():
            yield kind
            inner: tuple[inspect.Type, ...] = ()
        case inspect.UnionType():
            inner = kind.types
        case inspect.DictType():
            inner = (kind.key_type, kind.value_type)
        case inspect.TupleType():
            inner = kind.item_types
        case inspect.CollectionType():
            inner = (kind.item_type,)
        case _:
            inner = ()
    for each in inner:
        yield from _structs(each)


_EMPTY = checkpoint.Checkpoint(
    epoch=0,
    seq=0,
    standing=0,
    proof=Proof(),
    proof_all=Proof(),
    retracted=[],
    cursor=None,
    counts=checkpoint.Counts(),
    complete=False,
    truncated=False,
    ledger=b"",
    unsettled=b"",
    balances=KnownBalances(),
)


def main() -> int:
    for each in formats():
        if not each.record.exists():
            each.record.write_text(each.layout)
            print(f"recorded {each.record.relative_to(FOLDER)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
