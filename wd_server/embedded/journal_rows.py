"""What a journal's operations are in SQL, each a function of a connection.

Every step of a statement lets go of Python's global lock and has to get it back, up to 5 ms
later when the event loop is busy: a page read row by row took 370 ms beside a busy loop. So each
operation takes as few steps as possible: many rows are written by one INSERT and read as one row.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import msgspec

from wd_server.events.ids import EVENT_ID_PART_MAX
from wd_server.journal.base import Entry, Head, LeaseLost, NewEntry, next_epoch
from wd_server.journal.integrity import Damaged, check_entry, checksum

# entries.position = wallets.id << SEQ_BITS | seq
SEQ_BITS = 32
# Largest power of two of rows in one INSERT; SQLite takes 32,766 variables, a row has four.
INSERT_ROWS = 256
# Deleted and given back to the file system in one transaction: a few milliseconds each.
SWEEP_ROWS = 500
VACUUM_PAGES = 128
# Free pages that stay in the file for what comes next, 64 MB of 8 KB.
FREE_PAGES_KEPT = 8192
# Journals looked at in one slice of an expiry.
EXPIRE_WALLETS = 100

_integers = msgspec.json.Decoder(list[int])
_kinds = msgspec.json.Decoder(list[str])
_checksums = msgspec.json.Decoder(list[int | None])
_wallets = msgspec.json.Decoder(list[tuple[int, str]])


def begin(connection: sqlite3.Connection, wallet: str, now: float) -> int:
    """Start a new epoch and leave the old entries to `sweep`. Returns the epoch."""
    earlier = connection.execute(
        "DELETE FROM wallets WHERE address = ? RETURNING id, head_seq, run", (wallet,)
    ).fetchall()
    connection.executemany("INSERT INTO dropped VALUES (?, ?)", [life[:2] for life in earlier])
    epoch = next_epoch(wallet, earlier[0][2] if earlier else None, now)
    connection.execute(
        "INSERT INTO wallets (address, run, head_seq, head_kind, head_bytes, updated_at)"
        " VALUES (?, ?, 0, '', 0, ?)",
        (wallet, epoch, now),
    )
    return epoch


def append(
    connection: sqlite3.Connection,
    wallet: str,
    epoch: int,
    entries: Sequence[NewEntry],
    checkpoint: bytes,
    now: float,
) -> Head:
    """Store entries and checkpoint. Raises LeaseLost, before anything is written, if `epoch` isn't
    the current one."""
    stored = connection.execute(
        "UPDATE wallets SET head_seq = head_seq + ?, head_kind = coalesce(?, head_kind),"
        " head_bytes = head_bytes + ?, updated_at = ?, checkpoint = ?"
        " WHERE address = ? AND run = ? RETURNING id, head_seq, head_kind, head_bytes",
        (
            len(entries),
            entries[-1].kind if entries else None,
            size := sum(len(entry.payload) for entry in entries),
            now,
            checkpoint,
            wallet,
            epoch,
        ),
    ).fetchall()
    if not stored:
        raise LeaseLost("This wallet's events were started anew by another writer.")
    ((wallet_id, head_seq, head_kind, head_bytes),) = stored
    position = (wallet_id << SEQ_BITS) + head_seq - len(entries) + 1
    start = head_bytes - size
    done = 0
    while done < len(entries):
        rows = min(INSERT_ROWS, 1 << (len(entries) - done).bit_length() - 1)
        values: list[int | str | bytes] = [position + done]
        for kind, payload in entries[done : done + rows]:
            values += (start, kind, payload, checksum(kind, payload))
            start += len(payload)
        connection.execute(_insert(rows), values)
        done += rows
    return Head(epoch, head_seq, head_kind)


@cache
def _insert(rows: int) -> str:
    """An INSERT of that many rows; powers of two, so that few have to be compiled."""
    values = (
        f"(?1 + {row}, ?{4 * row + 2}, ?{4 * row + 3}, ?{4 * row + 4}, ?{4 * row + 5})"
        for row in range(rows)
    )
    return f"INSERT INTO entries VALUES {', '.join(values)}"


def head(connection: sqlite3.Connection, wallet: str) -> Head | None:
    row = connection.execute(
        "SELECT run, head_seq, head_kind FROM wallets WHERE address = ?", (wallet,)
    ).fetchone()
    if row is None:
        return None
    epoch, seq, kind = row
    if not (isinstance(epoch, int) and isinstance(seq, int) and isinstance(kind, bytes)):
        raise Damaged("the wallet's row holds values of other types than were stored")
    if not (0 < epoch <= EVENT_ID_PART_MAX and seq >= 0):
        raise Damaged("the wallet's row holds a position that no entry can have")
    return Head(epoch, seq, kind.decode())


def checkpoint(connection: sqlite3.Connection, wallet: str) -> bytes | None:
    row: tuple[bytes | None] | None = connection.execute(
        "SELECT checkpoint FROM wallets WHERE address = ?", (wallet,)
    ).fetchone()
    return None if row is None else row[0]


def read(
    connection: sqlite3.Connection, wallet: str, epoch: int, after: int, limit: int, max_bytes: int
) -> list[Entry]:
    """A page of entries, each as it was appended. Raises Damaged.

    The aggregates see rows by position, for they are found by a range of the primary key.
    """
    wanted, first, last, rows, *columns, payloads = connection.execute(
        f"""
        WITH page(first, last) AS MATERIALIZED (
            SELECT (id << {SEQ_BITS}) + ?3 + 1, (id << {SEQ_BITS}) + min(?3 + ?4, head_seq)
            FROM wallets WHERE address = ?1 AND run = ?2 AND head_seq > ?3
        )
        SELECT (SELECT first FROM page), min(position), max(position), count(*),
            json_group_array(CAST(kind AS TEXT)), json_group_array(CAST(start AS INTEGER)),
            json_group_array(CAST(checksum AS INTEGER)),
            group_concat(payload, '')
        FROM entries
        WHERE position BETWEEN (SELECT first FROM page) AND (SELECT last FROM page)
        AND start < ?5 + (SELECT start FROM entries WHERE position = (SELECT first FROM page))
        """,
        (wallet, epoch, after, limit, max(max_bytes, 1)),
    ).fetchone()
    if wanted is None:
        return []
    if not rows or (first, last) != (wanted, wanted + rows - 1):
        raise Damaged(f"entries behind {after} are missing")
    try:
        kinds = _kinds.decode(columns[0])
        starts = _integers.decode(columns[1])
        checksums = _checksums.decode(columns[2])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Damaged(f"the kinds of the entries behind {after} can't be read") from None
    return _entries(after, kinds, starts, checksums, payloads)


def _entries(
    after: int,
    kinds: Sequence[str],
    starts: list[int],
    checksums: Sequence[int | None],
    payloads: bytes,
) -> list[Entry]:
    """Columns of a page as entries. Raises Damaged."""
    base = starts[0]
    starts.append(base + len(payloads))
    if starts != sorted(starts):
        raise Damaged(f"the sizes of the entries behind {after} don't add up")
    entries = [
        Entry(seq, kind, payloads[start - base : end - base])
        for seq, (kind, (start, end)) in enumerate(
            zip(kinds, pairwise(starts), strict=True), after + 1
        )
    ]
    for entry, stored in zip(entries, checksums, strict=True):
        check_entry(*entry, stored)
    return entries


def discard(connection: sqlite3.Connection, wallet: str, epoch: int | None) -> bool:
    """Begin a new epoch in place of this one, which is damaged; None: of any. False if it isn't the
    current one."""
    found = connection.execute(
        "SELECT updated_at FROM wallets WHERE address = ?1 AND (?2 IS NULL OR run = ?2)",
        (wallet, epoch),
    ).fetchone()
    if found is None:
        return False
    # A second after the last append: so the epoch is greater even where the row's own is damaged.
    begin(connection, wallet, found[0] + 1)
    return True


def expirable(connection: sqlite3.Connection, before: float, after: int) -> list[tuple[int, str]]:
    """Id and address of the next journals, by id, that were last written earlier than `before`."""
    (found,) = connection.execute(
        "SELECT json_group_array(json_array(id, address)) FROM (SELECT id, address FROM wallets"
        " WHERE id > ? AND updated_at < ? ORDER BY id LIMIT ?)",
        (after, before, EXPIRE_WALLETS),
    ).fetchone()
    return _wallets.decode(found)


def drop(connection: sqlite3.Connection, ids: Sequence[int], before: float) -> int:
    """Drop those of these journals that are still old, and leave their entries to `sweep`.
    Returns how many."""
    which = "id IN (SELECT value FROM json_each(?)) AND updated_at < ?"
    values = (msgspec.json.encode(ids).decode(), before)
    connection.execute(
        f"INSERT INTO dropped SELECT id, head_seq FROM wallets WHERE {which}", values
    )
    return connection.execute(f"DELETE FROM wallets WHERE {which}", values).rowcount


def sweep(connection: sqlite3.Connection) -> bool:
    """Delete some entries of dropped journals, or give some free space back to the file system.
    Returns whether there was anything to do."""
    row = connection.execute("SELECT wallet_id, head_seq FROM dropped LIMIT 1").fetchone()
    if row is None:
        (free,) = connection.execute("PRAGMA freelist_count").fetchone()
        if free <= FREE_PAGES_KEPT:
            return False
        # execute() would stop after the first page.
        connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
        return True
    wallet_id, head_seq = row
    keep = max(head_seq - SWEEP_ROWS, 0)
    base = wallet_id << SEQ_BITS
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(
        "DELETE FROM entries WHERE position > ? AND position <= ?", (base + keep, base + head_seq)
    )
    if keep:
        connection.execute("UPDATE dropped SET head_seq = ? WHERE wallet_id = ?", (keep, wallet_id))
    else:
        connection.execute("DELETE FROM dropped WHERE wallet_id = ?", (wallet_id,))
    connection.execute("COMMIT")
    return True


def leave_unswept(connection: sqlite3.Connection) -> bool:
    """Leave the entries of the next dropped journal in the file: its pages are damaged, and would
    keep those behind it from being swept. Returns whether there was one."""
    next_one = "(SELECT wallet_id FROM dropped LIMIT 1)"
    return connection.execute(f"DELETE FROM dropped WHERE wallet_id = {next_one}").rowcount > 0
