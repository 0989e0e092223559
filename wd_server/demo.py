"""`--demo`: a simulated chain beside the server, so that it works without a key or a network."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

# Seconds the simulator may take until it listens.
START_SECONDS = 30
# Transactions a second that the simulated wallets go on making, so that followers see news.
LIVE_RATE = 0.5


class DemoWallet(NamedTuple):
    address: str
    transactions: int


class Demo(NamedTuple):
    url: str
    wallets: list[DemoWallet]


@asynccontextmanager
async def simulated_chain() -> AsyncIterator[Demo]:
    """A simulator in a process of its own while the context lasts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wd_tools.simulator",
        *("--port", "0", "--json", "--end-time", "now"),
        *("--live", str(LIVE_RATE), "--until-eof"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A Ctrl-C at the terminal is for the server, which needs the simulator while it drains.
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        ready = json.loads(line)
        wallets = [DemoWallet(each["address"], each["size"]) for each in ready["wallets"]]
        yield Demo(ready["url"], wallets)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
