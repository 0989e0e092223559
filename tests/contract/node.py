"""A node that has leases and streams until it is killed; run by test_backend.

    node.py URL HEARTBEAT DEAD_AFTER WALLET SUBJECT

Writes its id in a line once it has the wallet's lease and one stream of the subject.
"""

import asyncio
import sys

from wd_server.redis.backend import RedisBackend
from wd_server.redis.membership import Pace
from wd_server.secret import Secret
from wd_server.tasks import Tasks

# Longer than a test.
KEEP_SECONDS = 600


async def live() -> None:
    url, heartbeat, dead_after, wallet, who = sys.argv[1:]
    pace = Pace(float(heartbeat), float(dead_after))
    backend = RedisBackend(Secret(url), KEEP_SECONDS, Tasks(), pace=pace)
    await backend.open()
    assert await backend.journal.acquire(wallet) is not None
    assert await backend.counters.enter(who, 1)
    print(backend.membership.node, flush=True)
    await asyncio.Event().wait()


asyncio.run(live())
