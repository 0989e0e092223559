"""A process that has streams open until it is killed; run by test_redis_counters.

    holder.py URL SUBJECT STREAMS LIMIT HEARTBEAT DEAD_AFTER

Writes a line once it has them; `in` on its input makes it ask for one more and say whether it got
one.
"""

import asyncio
import sys

from wd_server.redis.backend import RedisBackend
from wd_server.redis.membership import Pace
from wd_server.secret import Secret
from wd_server.tasks import Tasks

# Seconds that a wallet is kept: longer than a test.
KEEP_SECONDS = 600


async def hold() -> None:
    url, who, streams, limit, heartbeat, dead_after = sys.argv[1:]
    pace = Pace(float(heartbeat), float(dead_after))
    backend = RedisBackend(Secret(url), KEEP_SECONDS, Tasks(), pace=pace)
    await backend.open()
    counters = backend.counters
    for _ in range(int(streams)):
        assert await counters.enter(who, int(limit))
    print("holding", flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(await counters.enter(who, int(limit)), flush=True)


asyncio.run(hold())
