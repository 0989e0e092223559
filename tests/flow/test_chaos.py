"""Three servers, 300 clients that come back, and whatever may happen: nobody loses a trade, gets
one twice or out of turn, or is left with something that can't be continued without being told.

CHAOS_MINUTES makes both tests last longer, CHAOS_SEED draws the faults of an earlier run again.
"""

import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import Chaos, Site
from tests.cluster import Cluster, cluster, node
from tests.eventsource import EventSource
from tests.follower import Followers, Held
from tests.network import another_network
from tests.processes import Simulator, server, simulator
from tests.redis_server import RedisServer, redis_cluster

CLIENTS = 300
# Transactions of the wallets, and how many there are of each size.
WALLETS = ("--wallets=60x28", "--wallets=1500x2")
# Minutes of faults in one test; what is begun then is finished.
MINUTES = float(os.environ.get("CHAOS_MINUTES", "1.5"))
# Seconds in which all clients open their first stream.
OPENING_SECONDS = 3
# Seeds that once failed; the time is shared by all. 3035522197: wallets that nobody read on after
# a node was cut off. 213610339: a newcomer waited for a `complete` that nobody wrote.
KEPT_SEEDS: Sequence[int] = (3035522197, 213610339)
SEEDS = [*KEPT_SEEDS, None]
# Beyond the faults a test starts its programs, heals and compares, which minutes are enough for.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600 + MINUTES * 60)]

# Clients and nginx find out about a server that stands still within seconds.
SETTINGS = {"SSE_KEEPALIVE_INTERVAL": 1, "POLL_SECONDS": 1, "UPSTREAM_PLAN": "professional"}
SILENCE = 4


@pytest.mark.parametrize("seed", SEEDS)
def test_one_redis(seed: int | None, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis", options=("--bind", "0.0.0.0", "--protected-mode", "no"))
    with (
        another_network(links=2) as network,
        simulator("--host=0.0.0.0", "--only", "--warm", *WALLETS) as chain,
    ):
        front, back = network.links
        far = node(
            tmp_path / "far",
            redis.url.reveal().replace("127.0.0.1", back.near),
            chain.url.replace("0.0.0.0", front.near),
            network=network.name,
            host=front.far,
            **SETTINGS,
        )
        redis.start()
        try:
            with cluster(
                tmp_path, redis.url.reveal(), chain.url, far, count=2, silence=SILENCE, **SETTINGS
            ) as nodes:
                site = Site(nodes, redis, chain, _followers(nodes, chain), back, tmp_path / "redis")
                _try(site, seed, tmp_path)
        finally:
            redis.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_redis_cluster(seed: int | None, tmp_path: Path) -> None:
    with (
        redis_cluster() as redis,
        simulator("--only", "--warm", *WALLETS) as chain,
        cluster(tmp_path, redis.url.reveal(), chain.url, silence=SILENCE, **SETTINGS) as nodes,
    ):
        _try(Site(nodes, redis, chain, _followers(nodes, chain)), seed, tmp_path)


def _followers(nodes: Cluster, chain: Simulator) -> Followers:
    wallets = [wallet for wallet, _ in chain.wallets]
    chosen = [wallets[number % len(wallets)] for number in range(CLIENTS)]
    return Followers(nodes.url, chosen, OPENING_SECONDS)


def _try(site: Site, seed: int | None, folder: Path) -> None:
    if seed is None:
        seed = int(os.environ.get("CHAOS_SEED", random.randrange(2**32)))
    print(f"seed {seed}", flush=True)
    chaos = asyncio.run(_survive(site, random.Random(seed)))
    resumes = sum(sum(each.ends.values()) for each in site.followers)
    gaps = [reason for each in site.followers for reason in each.held.gaps.elements()]
    print(f"{chaos.rounds} rounds, {resumes} connections ended, {len(gaps)} gaps")
    assert not chaos.emptied or len(gaps) >= CLIENTS
    assert not gaps or chaos.emptied or chaos.cut_short
    _compare(site, folder / "undisturbed")


async def _survive(site: Site, chance: random.Random) -> Chaos:
    chaos = Chaos(site, chance)
    async with site.followers.running():
        await chaos.run(MINUTES * 60 / len(SEEDS))
    return chaos


def _compare(site: Site, folder: Path) -> None:
    """Clients have, and newcomers get, what a server gives that nothing happened to."""
    held = {each.wallet: each.held for each in site.followers}
    with server(folder, site.chain.url) as undisturbed:
        for wallet in held:
            trades, totals = _read(undisturbed.stream(wallet))
            newcomer, newest = _read(site.cluster.stream(wallet))
            assert newest == totals
            assert newcomer == trades
            for each in site.followers:
                if each.wallet == wallet:
                    assert _comparable(each.held.trades) == trades


def _read(url: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    held = Held()
    with EventSource(url) as stream:
        for event in stream.until("complete", "error"):
            held.take(event, None)
    complete = held.complete
    assert complete is not None, event
    # Of metrics, what was listed is counted again when a sync pass is interrupted.
    totals = complete | {"metrics": complete["metrics"] | {"signatures_found": None}}
    # Clients that followed saw retractions, and the digest is over ids, too.
    passing = ("duration", "timestamp", "entries", "digest", "entries_all", "digest_all")
    # The chain may have been asked before the last transaction.
    passing += ("reconciliation",)
    compared = {k: v for k, v in totals.items() if k not in passing}
    return _comparable(held.trades), compared


def _comparable(trades: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the moment at which each was stored, its number among retractions, what it replaces,
    how settled it was then, its time, which is that of its receipt where it was pushed, its place
    in the block, which not every answer tells, and the tokens' names: a sync pass waits for them so
    long and no longer."""
    passing = {"emitted_at", "number", "replaces", "commitment", "timestamp", "block_index"}
    return [
        {name: _nameless(value) for name, value in trade.items() if name not in passing}
        for trade in trades
    ]


def _nameless(value: Any) -> Any:
    if isinstance(value, list):
        return [_unnamed(each) for each in value]
    return _unnamed(value) if isinstance(value, dict) else value


def _unnamed(token: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in token.items() if name != "symbol"}
