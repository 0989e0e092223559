"""Entries that a test puts into the journal of a server that isn't running."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import time
from typing import Any

import msgspec
from msgspec.structs import replace
from processes import PATIENCE

from wd_server.embedded.journal import SqliteJournal
from wd_server.events.kinds import COMPLETE, INCLUDED
from wd_server.journal.base import NewEntry
from wd_server.sync import checkpoint


def store(data_dir: Path, wallet: str, *events: tuple[str, Mapping[str, Any]]) -> None:
    """`events`: names and data, behind what the wallet's journal has."""
    # A loop of its own: Playwright has this thread's.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _store(data_dir, wallet, events)).result(PATIENCE)


async def _store(
    data_dir: Path, wallet: str, events: tuple[tuple[str, Mapping[str, Any]], ...]
) -> None:
    journal = SqliteJournal(data_dir / "journal.db")
    await journal.open()
    head, stored = await journal.head(wallet), await journal.checkpoint(wallet)
    lease = await journal.acquire(wallet)
    assert head is not None
    assert stored is not None
    assert lease is not None
    entries = [NewEntry(kind, msgspec.json.encode(data)) for kind, data in events]
    before = checkpoint.unpack(stored)
    standing = before.standing
    for seq, (kind, _) in enumerate(events, head.seq + 1):
        if kind not in INCLUDED:
            standing = seq if kind == COMPLETE else 0
    behind = replace(before, seq=head.seq + len(entries), standing=standing)
    await journal.append(lease, head.epoch, entries, checkpoint.pack(behind), time())
    await journal.close()
