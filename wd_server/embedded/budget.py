"""What is spent on a day, in a SQLite file of its own."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from wd_server.chain.budget import LIVES_MAX
from wd_server.chain.credits import Share
from wd_server.errors import StoreUnavailable

FILE_NAME = "credits.db"
# A call's deadline. Nothing here takes more than some milliseconds while all is well.
STORE_SECONDS = 2.0
# Another process holds the file for milliseconds; less than a call's deadline, so that whoever
# waits is told why.
LOCK_SECONDS = 1.0

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
    processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # The event loop never waits for a disk; and one that hangs takes one thread.
        self._thread = ThreadPoolExecutor(1, "budget-store")

    async def close(self) -> None:
        self._thread.shutdown(wait=False)

    async def count(self, life: str, share: Share) -> int:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STORE_SECONDS):
                return await loop.run_in_executor(self._thread, _count, self._path, life, share)
        except TimeoutError:
            raise _unavailable("it takes too long") from None
        except OSError as error:
            raise _unavailable(error.strerror or "it can't be opened") from error
        except sqlite3.Error as error:
            raise _unavailable(str(error)) from error


def _unavailable(reason: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"The spent credits can't be stored in {FILE_NAME} in the server's DATA_DIR: {reason}. "
        "It has two days' counts and nothing else, so it may be removed."
    )


def _count(path: Path, life: str, share: Share) -> int:
    """A connection for each call: one every few seconds is nothing that is worth keeping open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)  # SQLite gives its other files the rights of this one
    connection = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
    with closing(connection):  # which takes back what isn't committed
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TABLE)
        if connection.execute(_OLD_TABLE).fetchone()[0]:
            for statement in _TAKE_OVER:
                connection.execute(statement)
        total = _store(connection, life, share)
        connection.execute("COMMIT")
    return total


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
