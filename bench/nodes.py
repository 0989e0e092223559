"""Three nodes with one Redis behind nginx: how soon what one of them stores reaches the streams of
all, what 1,000 wallets that are analysed at once cost Redis, and a restart of one node after the
other under 3,000 followers.

All share the machine's cores, clients and the chain too. Clients are checking ones (`bin/wd-load`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any, NamedTuple

from bench import deployment
from bench.checkers import Checkers
from bench.row import Row, at_least, at_most
from tests.cluster import Cluster, cluster
from tests.processes import Simulator
from tests.redis_server import RedisServer, redis_server
from wd_tools.load.report import Report

# Its file is written once a second, and journals lie in memory in pieces of 16 KB.
REDIS = ("--appendfsync", "everysec", "--stream-node-max-bytes", "16384")

# Wallets with a follower on every node, and transactions that each makes in a second, at once:
# about two thirds are trades.
LIVE_WALLETS, LIVE_TRANSACTIONS = 100, 16
LIVE_SECONDS = 20
EVENTS_PER_SECOND, DELAY_MS = 1_000, 20

# Wallets that are analysed at the same time, and transactions of each.
LOAD_WALLETS, LOAD_SIZE = 1_000, 200
COMMANDS_PER_EVENT, MEMORY_PER_PAYLOAD = 3, 1.2
# Of wallets whose memory is looked at, every so many.
SAMPLE = 10

FOLLOWERS = 3_000
# Transactions of the followed wallet, and seconds from one of its trades to the next.
SIZE, TRADE_SECONDS = 200, 1.0
DRAIN_SECONDS = 20
SHARE = 1.5
# Seconds for all to be back after a restart, and in which the last trade reaches everybody.
BACK_SECONDS, SETTLE_SECONDS = 60, 5
HOLD_SECONDS = 3_600


def measure() -> list[Row]:
    return [*delay(), *load(), *rolling_restart()]


@contextmanager
def _site(*chain: str, **settings: Any) -> Iterator[tuple[Cluster, RedisServer, Simulator]]:
    """Redis as docs/scaling.md would have it."""
    with (
        TemporaryDirectory() as folder,
        redis_server(options=REDIS) as redis,
        deployment.chain("--only", "--warm", *chain, core=None) as upstream,
        cluster(Path(folder), redis.url.reveal(), upstream.url, **settings) as nodes,
    ):
        yield nodes, redis, upstream


# How soon.


def delay() -> list[Row]:
    wallets = f"--wallets={SIZE}x{LIVE_WALLETS}"
    with _site(wallets, POLL_SECONDS=1) as (nodes, _, chain), ExitStack() as stack:
        _analyse(nodes, chain)
        clients = [
            stack.enter_context(_checkers(node.url, chain, "--follow", f"--hold={HOLD_SECONDS}"))
            for node in nodes.nodes
        ]
        for each in clients:
            each.wait_until_open()
        _go_on(chain)
        sleep(SETTLE_SECONDS)
        return delay_rows([each.end() for each in clients])


def _go_on(chain: Simulator) -> None:
    """All wallets trade, evenly one after the other."""
    due = monotonic()
    for _ in range(LIVE_SECONDS):
        for wallet, _ in chain.wallets:
            chain.call("simAppend", wallet, LIVE_TRANSACTIONS)
            due += 1 / LIVE_WALLETS
            sleep(max(0.0, due - monotonic()))


def _analyse(nodes: Cluster, chain: Simulator) -> Report:
    """Have all wallets read to their end, at the same time."""
    with _checkers(nodes.url, chain) as clients:
        clients.wait_until_open()
        return clients.report()


def _checkers(url: str, chain: Simulator, *arguments: str) -> Checkers:
    """One for each wallet."""
    first, *more = (wallet for wallet, _ in chain.wallets)
    wallets = [f"--wallet={wallet}" for wallet in more]
    return Checkers(url, first, len(chain.wallets), *wallets, *arguments, core=None)


def delay_rows(found: Sequence[Report]) -> list[Row]:
    """Each of the reports is of one node's streams, which together have every event once."""
    events = min(each.live.per_second or 0 for each in found)
    p50, p99, longest = (
        max(getattr(each.live.delay_ms, name) or 0 for each in found)
        for name in ("p50", "p99", "max")
    )
    what = f"{LIVE_WALLETS} wallets with a follower on each of {len(found)} nodes"
    wrong = sum(each.ids.lost + each.ids.duplicates for each in found)
    return [
        at_most(
            f"{what}: from stored to received, p99",
            p99,
            DELAY_MS,
            f"{p99:.0f} ms (p50 {p50:.0f} ms, longest {longest:.0f} ms; of the slowest node's "
            f"clients), {wrong} lost or twice",
            " ms",
        ),
        at_least(
            f"{what}: events stored",
            events,
            EVENTS_PER_SECOND,
            f"{events:,.0f} events/s",
            " events/s",
        ),
    ]


# What it costs.


class Load(NamedTuple):
    """`commands` that Redis did for all; bytes: of all payloads, of the streams they are in, and of
    everything that Redis has in memory for them."""

    events: int
    seconds: float
    commands: Mapping[str, int]
    payload: int
    streams: int
    memory: int


def load() -> list[Row]:
    with _site(f"--wallets={LOAD_SIZE}x{LOAD_WALLETS}", UPSTREAM_PLAN="professional") as site:
        nodes, redis, chain = site
        before, used = _commands(redis), int(redis.info("memory")["used_memory"])
        started = monotonic()
        report = _analyse(nodes, chain)
        seconds = monotonic() - started
        assert report.is_whole, report.ids
        done = _commands(redis)
        memory = int(redis.info("memory")["used_memory"]) - used
        commands = {name: count - before.get(name, 0) for name, count in done.items()}
        wallets = [wallet for wallet, _ in chain.wallets[::SAMPLE]]
        sizes = [_bytes(redis, wallet) for wallet in wallets]
        share = len(chain.wallets) / len(wallets)
        payload, streams = (int(sum(each) * share) for each in zip(*sizes, strict=True))
        return load_rows(Load(report.events.trades, seconds, commands, payload, streams, memory))


def _commands(redis: RedisServer) -> dict[str, int]:
    """How often each was done."""
    found = redis.info("commandstats")
    return {
        name.removeprefix("cmdstat_"): int(value.partition(",")[0].partition("=")[2])
        for name, value in found.items()
        if name.startswith("cmdstat_")
    }


def _bytes(redis: RedisServer, wallet: str) -> tuple[int, int]:
    """Of the payloads in a wallet's stream, and of the stream."""
    key = f"wd:{{{wallet}}}:log"
    lines = redis.call("--raw", "XRANGE", key, "-", "+").splitlines()
    payload = sum(len(line.encode()) for line in lines if line.startswith("{"))
    return payload, int(redis.call("MEMORY", "USAGE", key, "SAMPLES", "0"))


def load_rows(found: Load) -> list[Row]:
    what = f"{LOAD_WALLETS:,} wallets of {LOAD_SIZE} transactions analysed at once"
    # Commands that a script calls are counted too, and are no message to Redis.
    per_event = sum(found.commands.values()) / found.events
    most = sorted(found.commands.items(), key=lambda each: -each[1])[:4]
    named = ", ".join(f"{name} {count / found.events:.2f}" for name, count in most)
    ratio = found.streams / found.payload
    return [
        Row(
            what,
            f"{found.events / found.seconds:,.0f} events/s through Redis "
            f"({found.events:,} in {found.seconds:.1f} s)",
        ),
        at_most(
            f"{what}: Redis commands per event, those of scripts included",
            per_event,
            COMMANDS_PER_EVENT,
            f"{per_event:.2f} ({named})",
            "",
        ),
        at_most(
            f"{what}: memory of a stored event",
            ratio,
            MEMORY_PER_PAYLOAD,
            f"{ratio:.2f} x its payload ({found.payload / found.events:.0f} bytes); "
            f"{found.memory / found.payload:.2f} x with checkpoints, keys and all else",
            " x its payload",
        ),
    ]


# One after the other.


class Restarted(NamedTuple):
    """`trades` that every follower was to get; streams of each node at the end."""

    trades: int
    shares: Sequence[int]


def rolling_restart(followers: int = FOLLOWERS, drain: int = DRAIN_SECONDS) -> list[Row]:
    settings = {"POLL_SECONDS": 1, "DRAIN_SECONDS": drain}
    with _site(f"--wallets={SIZE}", **settings) as (nodes, _, chain):
        wallet = chain.wallet(SIZE)
        arguments = ("--follow", f"--hold={HOLD_SECONDS}")
        with Checkers(nodes.url, wallet, followers, *arguments, core=None) as clients:
            clients.wait_until_open()
            for node in nodes.nodes:
                node.stop()
                node.start()
                _until_all_are_back(nodes, chain, followers)
            shares = _streams(nodes)
            sleep(SETTLE_SECONDS)
            return restart_rows(clients.end(), drain, shares)


def _until_all_are_back(nodes: Cluster, chain: Simulator, followers: int) -> None:
    """With a trade a second meanwhile."""
    deadline = monotonic() + BACK_SECONDS
    while sum(_streams(nodes)) < followers:
        assert monotonic() < deadline, f"not all are back after {BACK_SECONDS} s"
        deployment.append_trades(chain, chain.wallet(SIZE), 1)
        sleep(TRADE_SECONDS)


def _streams(nodes: Cluster) -> list[int]:
    return [node.get("/health")["streaming"]["active_streams"] for node in nodes.nodes]


def restart_rows(found: Report, drain: int, shares: Sequence[int]) -> list[Row]:
    followers, ids, away = found.asked.streams, found.ids, found.resumes.away_ms
    wrong = (
        ids.lost
        + ids.duplicates
        + ids.resets
        + ids.malformed
        + ids.mismatches
        + sum(ids.gaps.values())
    )
    fair = followers / len(shares)
    what = f"{followers:,} followers, {len(shares)} nodes restarted one after the other"
    return [
        Row(
            what,
            f"{found.resumes.count:,} resumed, {ids.lost} lost, {ids.duplicates} twice, "
            f"{sum(ids.gaps.values())} gaps, {ids.behind.streams} behind at the end",
            "all resumed, none lost, none twice",
            not (wrong or ids.behind.streams or found.resumes.absent or found.resumes.given_up),
        ),
        at_most(
            f"{what}: streams of the fullest node",
            max(shares) / fair,
            SHARE,
            f"{max(shares) / fair:.2f} x its share ({', '.join(map(str, shares))})",
            " x its share",
        ),
        Row(
            f"{what}: away for",
            f"p50 {(away.p50 or 0) / 1e3:.1f} s, p99 {(away.p99 or 0) / 1e3:.1f} s, longest "
            f"{(away.max or 0) / 1e3:.1f} s",
            f"spread over the {drain} s of the drain",
            drain / 4 < (away.p50 or 0) / 1e3 < drain * 0.75,
        ),
    ]
