"""What is spent on a day, in a SQLite file of its own."""

import sqlite3
from functools import partial
from pathlib import Path

from wd_server.chain.budget import LIVES_MAX
from wd_server.chain.credits import Share
from wd_server.embedded.database import Database, Schema, Wording, connected, transaction

# A call's deadline. Nothing here takes more than some milliseconds while all is well.
STORE_SECONDS = 2.0
_HINT = (
    "The spent credits can't be stored in credits.db in the server's DATA_DIR: {reason}. "
    "It has two days' counts and nothing else, so it may be removed."
)
# The file has no version: `_count` makes its table, or takes over that of 0.1.0.
SCHEMA = Schema(
    Wording(
        place=_HINT,
        newer=_HINT.format(reason="a newer wd-server wrote it"),
        slow=_HINT.format(reason="it takes too long"),
        closed=_HINT.format(reason="it isn't open (any more)"),
        failed=_HINT,
    ),
    # Another process holds the file for milliseconds; less than a call's deadline, so that whoever
    # waits is told why.
    lock_seconds=1.0,
)

# `life` is a process, or TOTAL; `account` is empty for what is spent in anybody's name.
TOTAL = "total"
_TABLE = """
CREATE TABLE IF NOT EXISTS spent_by (
    day INTEGER, account TEXT, life TEXT, credits INTEGER NOT NULL,
    PRIMARY KEY (day, account, life)
) STRICT, WITHOUT ROWID
"""
# A file of 0.1.0 has no accounts. It is taken over, so that an upgrade brings no second budget.
_OLD_TABLE = "SELECT count(*) FROM sqlite_schema WHERE name = 'spent'"
_TAKE_OVER = (
    "INSERT OR IGNORE INTO spent_by SELECT day, '', life, credits FROM spent",
    "DROP TABLE spent",
)


class SqliteBudgetStore:
    """`path` is the file, readable for its owner only; its folder is made if needed. Several
    processes may use it at once. Each call has a connection of its own: one every few seconds is
    nothing that is worth keeping open, and an operator may remove the file meanwhile."""

    def __init__(self, path: Path) -> None:
        self._database = Database(
            "budget-store",
            partial(connected, path, SCHEMA),
            SCHEMA.wording,
            seconds=STORE_SECONDS,
            lasting=False,
        )

    async def open(self) -> None:
        """The file is opened, and made, with the first credits that are counted."""
        await self._database.open()

    async def close(self) -> None:
        """Closing twice is no error."""
        await self._database.close()

    async def count(self, life: str, share: Share) -> int:
        return await self._database.run(lambda connection: _count(connection, life, share))


def _count(connection: sqlite3.Connection, life: str, share: Share) -> int:
    with transaction(connection):
        connection.execute(_TABLE)
        if connection.execute(_OLD_TABLE).fetchone()[0]:
            for statement in _TAKE_OVER:
                connection.execute(statement)
        return _store(connection, life, share)


def _store(connection: sqlite3.Connection, life: str, share: Share) -> int:
    day, account = share.day, share.account
    stored: dict[str, int] = dict(
        connection.execute(
            "SELECT life, credits FROM spent_by WHERE day = ? AND account = ? AND life IN (?, ?)",
            (day, account, TOTAL, life),
        )
    )
    before, counted = stored.get(TOTAL, 0), stored.get(life, 0)
    total = share.total_with(before, counted)
    if total > before:
        connection.execute("DELETE FROM spent_by WHERE day < ?", (day - 1,))
        of_account = "FROM spent_by WHERE day = ? AND account = ?"
        (lives,) = connection.execute(f"SELECT count(*) {of_account}", (day, account)).fetchone()
        if life not in stored and lives > LIVES_MAX:
            connection.execute(f"DELETE {of_account}", (day, account))
        connection.executemany(
            "INSERT OR REPLACE INTO spent_by VALUES (?, ?, ?, ?)",
            (
                (day, account, TOTAL, total),
                (day, account, life, max(share.spent, share.counted, counted)),
            ),
        )
    return total
