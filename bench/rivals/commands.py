"""How the benchmark talks to a contender that is a Python program: a line in, a line of JSON out.

The program first says where it listens: `{"port": 1234}`. A line `SECONDS BURST` has it publish
BURST events at a time to all its readers, again as soon as they are written to everyone, for so
many seconds (0: once). Then it says how many it published: `{"events": 50}`.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

# Publishes so many events within one tick; returns when they are written to every reader.
Publish = Callable[[int], Awaitable[None]]


async def obey(port: int, publish: Publish) -> None:
    """Returns when the benchmark has closed this program's standard input."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _say({"port": port})
    async for line in lines:
        seconds, burst = line.split()
        _say({"events": await _saturate(publish, float(seconds), int(burst))})


async def _saturate(publish: Publish, seconds: float, burst: int) -> int:
    until = monotonic() + seconds
    events = 0
    while True:
        await publish(burst)
        events += burst
        if monotonic() >= until:
            return events


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
