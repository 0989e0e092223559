"""Wallets that trade on while the upstream does everything wrong: whoever follows them, comes, goes
and resumes ends with what the chain says in the end."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from random import Random
from typing import Any

from chunks import Chunks
from processes import Server, Simulator, server, simulator
from redis_server import redis_server

WALLETS, HISTORY = 200, 20
TRADES = 10_000
FEW_WALLETS, FEW_TRADES = 40, 1500
LIVE = {"CHECK_SECONDS": 2, "POLL_SECONDS": 5}
SECRET = "a secret that all nodes have, of 32 or more characters"
# Transactions that a wallet does at once, and about what share of them are trades.
TOGETHER, TRADING = 8, 0.75
FINAL_SECONDS = 2
# All connections break after each, and there are more until forks have left enough.
ROUNDS = 5
# Seconds within which everybody has to have the truth once the chain is at rest: a pass waits half
# a minute for a transaction that a fork took away meanwhile, and the next one comes a little later.
SETTLED_SECONDS = 150
FAULTS = (
    {"kind": "missing", "share": 0.03},
    {"kind": "duplicate", "share": 0.1},
    {"kind": "reorder", "share": 0.1},
    {"kind": "delay", "share": 0.05, "delay": 0.5},
    {"kind": "fork", "share": 0.1, "depth": 3},
    {"kind": "block_time_missing"},
    {"kind": "null_results", "share": 0.1, "count": 200},
)
# What is read at once, in bytes.
READ_BYTES = 65536
# Two events of a client are as likely to be its last before it goes as this.
LEAVES = 0.008


class Follower:
    """Keeps what it is told by one wallet's stream, and now and then breaks off and resumes."""

    def __init__(self, nodes: Sequence[Server], wallet: str, random: Random) -> None:
        self._ports = [node.port for node in nodes]
        self._path = f"/v4/wallet/{wallet}/stream?follow=true"
        self._random = random
        self.trades: dict[tuple[str, int], Any] = {}  # by signature and part
        self.summary: dict[str, Any] = {}
        self.resumes = self.retracted = 0
        self.changed = asyncio.Event()
        self.stays = False
        self._last_id: str | None = None

    async def follow(self) -> None:
        while True:
            async for name, event_id, data in self._events():
                self._take(name, data)
                self._last_id = event_id or self._last_id
                self.changed.set()
                if not self.stays and self._random.random() < LEAVES:
                    break
            self.resumes += 1

    def _take(self, name: str, data: dict[str, Any]) -> None:
        if name == "trade":
            assert _key(data) not in self.trades
            self.trades[_key(data)] = data
        elif name == "retract":
            self.retracted += 1
            taken_back = [key for key in self.trades if key[0] == data["signature"]]
            assert taken_back
            for key in taken_back:
                del self.trades[key]
        elif name in ("summary", "complete"):
            self.summary = data.get("summary", data)
        elif name == "connected":
            assert data["resumed"] == (self._last_id is not None)
        else:
            assert name in ("progress", "preview", "heartbeat"), (name, data)

    async def _events(self) -> AsyncIterator[tuple[str, str | None, dict[str, Any]]]:
        port = self._random.choice(self._ports)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        try:
            head = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n"
            if self._last_id is not None:
                head += f"Last-Event-ID: {self._last_id}\r\n"
            writer.write(f"{head}\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            chunks, rest = Chunks(), b""
            while data := await reader.read(READ_BYTES):
                *blocks, rest = (rest + chunks.feed(data)).split(b"\n\n")
                for block in blocks:
                    fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
                    yield fields["event"], fields.get("id"), json.loads(fields["data"])
            raise AssertionError("the server ended the stream")
        finally:
            writer.close()


def test_every_follower_ends_with_the_truth_whatever_goes_wrong(tmp_path: Path) -> None:
    with _chain(WALLETS) as chain, server(tmp_path / "a", chain.url, **LIVE) as started:
        followers = asyncio.run(_market(chain, [started], TRADES))
        _hold_against_the_chain(chain, started, followers, tmp_path)
        metrics = started.metrics()
    assert sum(len(follower.trades) for follower in followers.values()) >= TRADES
    assert sum(follower.resumes for follower in followers.values()) > WALLETS / 4
    assert sum(follower.retracted for follower in followers.values()) > 0
    assert metrics["upstream_breaks_total"] > 0
    # What is missed, or told of while a gap is filled, comes from the history.
    assert metrics["analysis_pushed_total"] > TRADES / 4


def test_followers_may_change_nodes_of_which_one_reads_each_wallet(tmp_path: Path) -> None:
    with _chain(FEW_WALLETS) as chain, redis_server() as redis, ExitStack() as stack:
        shared = {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": SECRET}
        nodes = [
            stack.enter_context(server(tmp_path / name, chain.url, **shared, **LIVE))
            for name in ("first", "second")
        ]
        followers = asyncio.run(_market(chain, nodes, FEW_TRADES))
        for node in nodes:
            _hold_against_the_chain(chain, node, followers, tmp_path)
        pushed = [node.metrics()["analysis_pushed_total"] for node in nodes]
    assert sum(follower.resumes for follower in followers.values()) > 0
    assert all(count > 0 for count in pushed)


def _chain(wallets: int) -> AbstractContextManager[Simulator]:
    sizes = ("--wallets", f"{HISTORY}x{wallets}", "--end-time", "now")
    return simulator("--only", "--warm", *sizes, "--finalized", str(FINAL_SECONDS))


def _hold_against_the_chain(
    chain: Simulator, started: Server, followers: Mapping[str, Follower], folder: Path
) -> None:
    """What everybody has, and what JSON says, is what a server says that reads the chain anew."""
    with server(folder / f"anew{started.port}", chain.url) as anew:
        expected = {wallet: asyncio.run(_read(anew, wallet)) for wallet in followers}
        totals = {wallet: _sol_totals(anew, wallet) for wallet in followers}
    for wallet, follower in followers.items():
        assert _told(follower.trades.values()) == _told(expected[wallet]), wallet
        assert _told(_pages(started, wallet)) == _told(expected[wallet])
        realized = sum(each["pnl_sol"] or 0 for each in follower.trades.values())
        summary = _sol_totals(started, wallet)
        assert summary == totals[wallet]
        of_trades = summary["realized_pnl_sol"] - summary["custody_pnl_sol"]
        assert abs(realized - of_trades) < 1e-6
        assert summary["trades"] == len(follower.trades)


def _sol_totals(started: Server, wallet: str) -> dict[str, Any]:
    """The totals in SOL, and how many trades they are of. A time of receipt may be of another
    minute than the block's, with another price in USD."""
    summary = started.get(f"/v4/wallet/{wallet}")["summary"]
    return {name: summary[name] for name in summary if name == "trades" or name.endswith("_sol")}


async def _market(chain: Simulator, nodes: Sequence[Server], trades: int) -> dict[str, Follower]:
    random = Random(6)
    wallets = [address for address, _ in chain.wallets]
    followers = {wallet: Follower(nodes, wallet, Random(wallet)) for wallet in wallets}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follower.follow()) for follower in followers.values()]
        await asyncio.gather(
            *(_until(each, lambda f: bool(f.trades)) for each in followers.values())
        )
        for fault in FAULTS:
            await asyncio.to_thread(chain.call, "simFault", fault)
        await asyncio.to_thread(_trade_on, chain, wallets, trades, random)
        await asyncio.to_thread(chain.call, "simReset")
        for follower in followers.values():
            follower.stays = True
        async with asyncio.timeout(SETTLED_SECONDS):
            for wallet, follower in followers.items():
                truth = await asyncio.to_thread(_truth, chain, wallet)
                await _until(follower, lambda f, truth=truth: _facts(f) == truth)
        for task in tasks:
            task.cancel()
    return followers


def _trade_on(chain: Simulator, wallets: Sequence[str], trades: int, random: Random) -> None:
    """Until so many more are on the chain, however many of them forks took away again."""
    wanted = _on_chain(chain, wallets) + trades
    while _on_chain(chain, wallets) < wanted:
        for _ in range(math.ceil(trades / TRADING / TOGETHER / ROUNDS)):
            chain.call("simAppend", random.choice(wallets), TOGETHER)
        chain.call("simDisconnect")


def _on_chain(chain: Simulator, wallets: Sequence[str]) -> int:
    return sum(len(_truth(chain, wallet)) for wallet in wallets)


async def _until(follower: Follower, holds: Any) -> None:
    while not holds(follower):
        follower.changed.clear()
        await follower.changed.wait()


def _key(trade: dict[str, Any]) -> tuple[str, int]:
    return trade["signature"], trade.get("part", 0)


def _truth(chain: Simulator, wallet: str) -> dict[tuple[str, int], tuple[int, int, int]]:
    """Slot and raw amounts of each trade by its signature and part."""
    return {
        (each["signature"], trade["part"]): (each["slot"], trade["soldRaw"], trade["boughtRaw"])
        for each in chain.call("simTruth", wallet)
        for trade in each["trades"]
    }


def _facts(follower: Follower) -> dict[tuple[str, int], tuple[int, int, int]]:
    return {
        key: (
            each["slot"],
            int(each["token_in"]["amount_raw"]),
            int(each["token_out"]["amount_raw"]),
        )
        for key, each in follower.trades.items()
    }


def _told(trades: Any) -> dict[tuple[str, int], Any]:
    """What must be the same whoever reads the chain, and when: a time of receipt may be two seconds
    off, `emitted_at` says when a trade was stored, `number` where it stands among retractions,
    `replaces` what it corrects, not every upstream knows `block_index`, and a token's name may have
    come too late."""
    passing = dict.fromkeys(("emitted_at", "timestamp", "number", "replaces", "block_index"), 0)
    return {
        _key(each): each
        | passing
        | {leg: each[leg] | {"symbol": ""} for leg in ("token_in", "token_out")}
        | {"postings": [posting | {"symbol": ""} for posting in each.get("postings", ())]}
        for each in trades
    }


def _pages(started: Server, wallet: str) -> list[dict[str, Any]]:
    trades: dict[tuple[str, int], Any] = {}
    after = ""
    while True:
        page = started.get(f"/v4/wallet/{wallet}/trades?limit=50{after}")
        trades = {key: each for key, each in trades.items() if key[0] not in page["retracted"]}
        trades |= {_key(each): each for each in page["trades"]}
        if page["next"] is None:
            return list(trades.values())
        after = f"&after={page['next']}"


async def _read(started: Server, wallet: str) -> list[dict[str, Any]]:
    reader = Follower([started], wallet, Random(0))
    reader.stays = True
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reader.follow())
        await _until(reader, lambda f: "trades" in f.summary)
        task.cancel()
    return list(reader.trades.values())
