"""The file of a SQLite journal: who may have it, how it is laid out, what is said of its errors."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from wd_server.embedded.database import Schema, Wording, connected, open_file
from wd_server.errors import StoreUnavailable
from wd_server.journal.integrity import Damaged

# 8 KB: a usual trade (about 1 KB) fills it well, measured 30 % faster than 4 KB.
PAGE_BYTES = 8192
# Who appends copies the log into the file when it passes 64 MB and waits for the disk meanwhile,
# 150 ms on a busy one. Most of it is copied beside (`copy_log`) by then.
LOG_PAGES = 64 * 1024 * 1024 // PAGE_BYTES
# A log that grew further, beside a long read, is cut down to this afterwards.
LOG_BYTES_KEPT = 128 * 1024 * 1024
# Nobody but this process writes; only a tool that an operator runs may hold a lock for a moment.
LOCK_SECONDS = 2.0
# Cache of the writer and of each reader.
CACHE_KB = 8 * 1024

# Entry i of this list takes a file from version i to i + 1. Entries are never edited, only added.
#
# wallets.id names one life of a wallet: `begin` gives a new one, so that dropping the old entries
# can wait. entries.position is `wallets.id << 32 | seq`, a plain integer key, because SQLite keeps
# rows of 1 KB badly in an index (WITHOUT ROWID measured half as fast). entries.start is the
# number of payload bytes of the epoch before this entry. dropped: lives whose entries are still to
# be deleted, up to head_seq.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE wallets (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        address TEXT NOT NULL UNIQUE,
        run INTEGER NOT NULL,
        head_seq INTEGER NOT NULL,
        head_kind TEXT NOT NULL,
        head_bytes INTEGER NOT NULL,
        updated_at REAL NOT NULL,
        checkpoint BLOB
    ) STRICT;
    CREATE TABLE entries (
        position INTEGER PRIMARY KEY,
        start INTEGER NOT NULL,
        kind TEXT NOT NULL,
        payload BLOB NOT NULL
    ) STRICT;
    CREATE TABLE dropped (wallet_id INTEGER PRIMARY KEY, head_seq INTEGER NOT NULL) STRICT;
    """,
    # entries.checksum is `integrity.checksum`, NULL where an older server wrote the entry.
    "ALTER TABLE entries ADD COLUMN checksum INTEGER",
)

_SENTENCES = {
    sqlite3.SQLITE_FULL: "The server's event store is full. Its operator has to free disk space.",
    sqlite3.SQLITE_BUSY: "The server's event store is locked by another program. Try again soon.",
    sqlite3.SQLITE_NOTADB: "The server's event store isn't a journal. Its operator has to move it.",
    sqlite3.SQLITE_READONLY: "The server may not write its event store. Its operator has to help.",
    sqlite3.SQLITE_CANTOPEN: "The server can't open its event store. Its operator has to help.",
    sqlite3.SQLITE_IOERR: "The server's disk refused to store or read events (full or failing).",
}


WORDING = Wording(
    place="The data directory {folder} can't be used: {reason}. "
    "Make it writable for this user or choose another one.",
    newer="The journal {path} has format {found}, written by a newer wd-server; this one "
    "reads up to {known}. Start the newer one, or move the file away.",
    slow="The server's event store is too slow now. Try again.",
    closed="The server's event store isn't open: it is starting or stopping.",
    failed="The server's event store failed. Its operator has to look at it.",
    sentences=_SENTENCES,
    damaged=Damaged,
)
SCHEMA = Schema(
    WORDING,
    MIGRATIONS,
    layout=(f"page_size = {PAGE_BYTES}", "auto_vacuum = INCREMENTAL"),
    pragmas=(
        "journal_mode = WAL",
        "synchronous = NORMAL",
        f"wal_autocheckpoint = {LOG_PAGES}",
        f"journal_size_limit = {LOG_BYTES_KEPT}",
        f"cache_size = -{CACHE_KB}",
    ),
    lock_seconds=LOCK_SECONDS,
)


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """The one connection that writes. Closed as the last one, it copies the log into the file and
    removes it. Raises StoreUnavailable, sqlite3.Error."""
    with owned(path), connected(path, SCHEMA) as connection:
        yield connection


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Make this process the only one that has the journal at `path`. The kernel takes the lock
    back when the process ends, however it ends. Raises StoreUnavailable."""
    with open_file(path.with_name(path.name + ".lock"), WORDING) as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except OSError as error:
            raise StoreUnavailable(
                f"Another wd-server uses the data directory {path.parent}. "
                "Stop it, or give this one a directory of its own."
            ) from error
        yield


def rewrite_version(connection: sqlite3.Connection) -> None:
    """A write that changes nothing: a page of the log, no table's."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute(f"PRAGMA user_version = {version}")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can't write. Text comes back as UTF-8 bytes."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS, isolation_level=None
    )
    with closing(connection):
        connection.text_factory = bytes
        connection.execute(f"PRAGMA cache_size = -{CACHE_KB}")
        yield connection


@contextmanager
def copying(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for `copy_log`."""
    with closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
        yield connection


def copy_log(connection: sqlite3.Connection) -> None:
    """Copy what the log has so far into the file, and wait for nobody: appends go on."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()


def size(path: Path) -> int:
    """Bytes on disk, the log included."""
    total = 0
    for file in (path, path.with_name(path.name + "-wal")):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total
