"""A process that appends to a journal until it is killed; run by test_sqlite_crash.

Each line it writes is the sequence number an append returned for: what is stored by then.
Everything is determined by the number, so that who looks afterwards knows what has to be there.
"""

import asyncio
import random
import sys
from pathlib import Path

from wd_server.embedded.journal import SqliteJournal
from wd_server.journal.base import NewEntry

WALLETS = ("first", "second", "third")
LARGEST_BATCH = 300


def payload(wallet: str, seq: int) -> bytes:
    return f'{{"wallet":"{wallet}","seq":{seq}}}'.encode() + b" " * (seq * 37 % 1500)


def checkpoint(wallet: str, head: int) -> bytes:
    return f"{wallet} {head} ".encode() * 1000


async def append_until_killed(journal: SqliteJournal, wallet: str) -> None:
    lease = await journal.acquire(wallet)
    assert lease is not None
    head = await journal.head(wallet)
    epoch = head.epoch if head else await journal.begin(lease, 1.0)
    seq = head.seq if head else 0
    while True:
        last = seq + random.randint(1, LARGEST_BATCH)
        batch = [NewEntry("trade", payload(wallet, number)) for number in range(seq + 1, last + 1)]
        head = await journal.append(lease, epoch, batch, checkpoint(wallet, last), 2.0)
        seq = head.seq
        sys.stdout.write(f"{wallet} {seq}\n")
        sys.stdout.flush()


async def main(path: Path) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    await asyncio.gather(*(append_until_killed(journal, wallet) for wallet in WALLETS))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
