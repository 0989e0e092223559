"""A process that has streams open until it is killed; run by test_redis_counters.

    holder.py URL SUBJECT STREAMS LIMIT HEARTBEAT DEAD_AFTER

Writes a line once it has them; `in` on its input makes it ask for one more and say whether it got
one.
"""

import asyncio
import sys

from wd_server.redis.counters import RedisCounters
from wd_server.redis.link import RedisLink
from wd_server.secret import Secret


async def hold() -> None:
    url, who, streams, limit, heartbeat, dead_after = sys.argv[1:]
    link = RedisLink(Secret(url))
    await link.open()
    counters = RedisCounters(link, heartbeat=float(heartbeat), dead_after=float(dead_after))
    await counters.open()
    for _ in range(int(streams)):
        assert await counters.enter(who, int(limit))
    print("holding", flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(await counters.enter(who, int(limit)), flush=True)


asyncio.run(hold())
