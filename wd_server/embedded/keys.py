"""The embedded key store: one SQLite file, which several processes may use at once."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

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
from wd_server.embedded.database import Database, Schema, Wording, connected, transaction
from wd_server.errors import StoreFull

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
SCHEMA = Schema(
    Wording(
        place="The store of keys {path} can't be opened: {reason}. "
        "Make it writable for this user or choose another DATA_DIR.",
        newer="The store of keys {path} has format {found}, written by a newer wd-server; this "
        "one reads up to {known}. Start the newer one.",
        slow="The store of keys is too slow now. Try again.",
        closed="The store of keys isn't open (any more).",
        failed="The store of keys failed. Its operator has to look at it.",
    ),
    MIGRATIONS,
    # A key that was shown, or taken back, must be so after a power cut as well.
    pragmas=("journal_mode = WAL", "synchronous = FULL"),
    # Another process holds the file for milliseconds; less than a call's deadline, so that whoever
    # waits is told why.
    lock_seconds=1.0,
)


class SqliteKeyStore:
    """`path` is the database file, readable for its owner only; its folder is made if needed."""

    def __init__(self, path: Path) -> None:
        self._database = Database(
            "key-store", partial(connected, path, SCHEMA), SCHEMA.wording, seconds=STORE_SECONDS
        )

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self._database.open()

    async def close(self) -> None:
        """Closing twice is no error."""
        await self._database.close()

    async def snapshot(self) -> Snapshot:
        return await self._database.run(_snapshot)

    async def changes(self, after: int) -> Changes | None:
        return await self._database.run(lambda connection: _changes(connection, after))

    async def exchange(self, exchanges: Sequence[Exchange]) -> bool:
        return await self._database.run(lambda connection: _exchange(connection, exchanges))

    async def revoke_token(self, jti: str, until: float, now: float) -> None:
        await self._database.run(lambda connection: _revoke_token(connection, jti, until, now))


def _generation(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 0 if row is None else int(row[0])


def _snapshot(connection: sqlite3.Connection) -> Snapshot:
    with transaction(connection, "DEFERRED"):
        generation = _generation(connection)
        keys, unreadable = decode_all(connection.execute("SELECT id, row FROM keys"))
        tokens = dict(connection.execute("SELECT jti, until FROM tokens"))
    return Snapshot(generation, keys, tokens, unreadable)


def _changes(connection: sqlite3.Connection, after: int) -> Changes | None:
    with transaction(connection, "DEFERRED"):
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
    with transaction(connection):
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
    with transaction(connection):
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
