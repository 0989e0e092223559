"""The embedded access store: one SQLite file, which several processes may use at once."""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from wd_server.access.store import (
    CHANGES_KEPT,
    KEYS_MAX,
    REVOKED_TOKENS_MAX,
    STORE_SECONDS,
    Changes,
    Exchange,
    Snapshot,
    decode,
    decode_all,
    encode,
)
from wd_server.errors import StoreFull, StoreUnavailable

# Another process holds the file for milliseconds; less than a call's deadline, so that whoever
# waits is told why.
LOCK_SECONDS = 1.0

# Entry i takes a file from version i to i + 1. Entries are never edited, only added. `changes`
# names what changed: a key by its id, a token by its jti.
MIGRATIONS = (
    """
    CREATE TABLE keys (id TEXT PRIMARY KEY, row BLOB NOT NULL) STRICT;
    CREATE TABLE tokens (jti TEXT PRIMARY KEY, until REAL NOT NULL) STRICT;
    CREATE TABLE changes (
        generation INTEGER PRIMARY KEY AUTOINCREMENT,
        key_id TEXT,
        jti TEXT
    ) STRICT;
    """,
)

T = TypeVar("T")


class SqliteAccessStore:
    """`path` is the database file, readable for its owner only; its folder is made if needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # One thread, which alone has the connection: the event loop never waits for a disk.
        self._thread = ThreadPoolExecutor(1, "access-store")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(self._open)

    async def close(self) -> None:
        if self._connection is not None:
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    async def snapshot(self) -> Snapshot:
        return await self._run(lambda: _snapshot(self._open()))

    async def changes(self, after: int) -> Changes | None:
        return await self._run(lambda: _changes(self._open(), after))

    async def exchange(self, exchanges: Sequence[Exchange]) -> bool:
        return await self._run(lambda: _exchange(self._open(), exchanges))

    async def revoke_token(self, jti: str, until: float, now: float) -> None:
        await self._run(lambda: _revoke_token(self._open(), jti, until, now))

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            raise StoreUnavailable("The store of keys is too slow now. Try again.") from None
        except sqlite3.Error as error:
            raise StoreUnavailable(
                "The store of keys failed. Its operator has to look at it."
            ) from error
        except RuntimeError as error:  # the thread was shut down
            raise StoreUnavailable("The store of keys isn't open (any more).") from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            _make_file(self._path)
            self._connection = _connect(self._path)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _make_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its other files the rights of this one.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(
            f"The store of keys {path} can't be opened: {error.strerror}. "
            "Make it writable for this user or choose another DATA_DIR."
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A key that was shown, or taken back, must be so after a power cut as well.
        connection.execute("PRAGMA synchronous = FULL")
        with _transaction(connection, "IMMEDIATE"):
            _migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise StoreUnavailable(
            f"The store of keys {path} has format {version}, written by a newer wd-server; this "
            f"one reads up to {len(MIGRATIONS)}. Start the newer one."
        )
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        for statement in filter(str.strip, migration.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _generation(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 0 if row is None else int(row[0])


def _snapshot(connection: sqlite3.Connection) -> Snapshot:
    with _transaction(connection, "DEFERRED"):
        generation = _generation(connection)
        keys, unreadable = decode_all(connection.execute("SELECT id, row FROM keys"))
        tokens = dict(connection.execute("SELECT jti, until FROM tokens"))
    return Snapshot(generation, keys, tokens, unreadable)


def _changes(connection: sqlite3.Connection, after: int) -> Changes | None:
    with _transaction(connection, "DEFERRED"):
        generation = _generation(connection)
        if generation == after:
            return Changes(after, (), (), {})
        if not generation - CHANGES_KEPT <= after < generation:
            return None
        changed = connection.execute(
            "SELECT DISTINCT key_id, keys.row FROM changes LEFT JOIN keys ON keys.id = key_id"
            " WHERE generation > ? AND key_id IS NOT NULL",
            (after,),
        ).fetchall()
        tokens = connection.execute(
            "SELECT tokens.jti, until FROM changes JOIN tokens USING (jti) WHERE generation > ?",
            (after,),
        ).fetchall()
    keys, unreadable = decode_all(pair for pair in changed if pair[1] is not None)
    forgotten = tuple(key_id for key_id, row in changed if row is None)
    return Changes(generation, keys, forgotten, dict(tokens), unreadable)


def _exchange(connection: sqlite3.Connection, exchanges: Sequence[Exchange]) -> bool:
    with _transaction(connection, "IMMEDIATE"):
        for exchange in exchanges:
            found = connection.execute(
                "SELECT row FROM keys WHERE id = ?", (exchange.id,)
            ).fetchone()
            if (None if found is None else decode(found[0])) != exchange.before:
                return False
        for exchange in exchanges:
            _store(connection, exchange)
        (count,) = connection.execute("SELECT count(*) FROM keys").fetchone()
        if count > KEYS_MAX and any(exchange.before is None for exchange in exchanges):
            raise StoreFull(f"There are {KEYS_MAX} keys, as many as there may be. Forget some.")
        _forget_changes(connection)
    return True


def _store(connection: sqlite3.Connection, exchange: Exchange) -> None:
    if exchange.after is None:
        connection.execute("DELETE FROM keys WHERE id = ?", (exchange.id,))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO keys VALUES (?, ?)", (exchange.id, encode(exchange.after))
        )
    connection.execute("INSERT INTO changes (key_id) VALUES (?)", (exchange.id,))


def _revoke_token(connection: sqlite3.Connection, jti: str, until: float, now: float) -> None:
    with _transaction(connection, "IMMEDIATE"):
        connection.execute("DELETE FROM tokens WHERE until < ?", (now,))
        connection.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", (jti, until))
        (count,) = connection.execute("SELECT count(*) FROM tokens").fetchone()
        if count > REVOKED_TOKENS_MAX:
            raise StoreFull(
                f"{REVOKED_TOKENS_MAX} tokens are revoked, as many as there may be. "
                "Revoke the key that they came from."
            )
        connection.execute("INSERT INTO changes (jti) VALUES (?)", (jti,))
        _forget_changes(connection)


def _forget_changes(connection: sqlite3.Connection) -> None:
    oldest = _generation(connection) - CHANGES_KEPT
    connection.execute("DELETE FROM changes WHERE generation <= ?", (oldest,))
