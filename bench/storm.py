"""A server is killed and started again, and all its clients come back at once.

19,000 checking clients follow one wallet when their server is killed. They are kept from noticing
until a new one has started and the wallet has gone on, so that each is as far behind as the others
and none spreads its return by failing first: this is the worst that a restart can bring. They
notice together, wait the second that EventSource waits (and up to a quarter more), and come.
"""

from bench import deployment
from bench.checkers import Checkers
from bench.row import Row, at_most
from tests.eventsource import EventSource
from tests.processes import Server, Simulator
from wd_tools.load.report import Report

STREAMS = 19_000
# Trades that each has missed.
BEHIND = 20
# Transactions of the wallet before.
SIZE = 200
# Seconds after which a client that isn't back won't come.
PATIENCE = 60

SECONDS = 10


def measure(streams: int = STREAMS) -> list[Row]:
    with (
        deployment.chain("--only", "--warm", "--wallets", str(SIZE)) as chain,
        deployment.deployed(chain) as server,
        Checkers(
            server.url, chain.wallet(SIZE), streams, "--follow", f"--hold={10 * PATIENCE}"
        ) as clients,
    ):
        clients.wait_until_open()
        before = int(server.metrics()["total_trades"]) // streams
        server.wait_for("total_trades", before * streams)
        clients.freeze()
        server.kill()
        deployment.append_trades(chain, chain.wallet(SIZE), BEHIND)
        deployment.start(server)
        seen = _read_by_visitor(server, chain, before + BEHIND)
        clients.thaw()
        deployment.wait_for_streams(server, streams, PATIENCE)
        server.wait_for("total_trades", BEHIND * streams + seen)
        return rows(clients.end())


def _read_by_visitor(server: Server, chain: Simulator, trades: int) -> int:
    """Returns, with the number of trades that this took, when the server has so many."""
    with EventSource(server.stream(chain.wallet(SIZE), "follow=true")) as visitor:
        visitor.take("trade", trades)
    deployment.wait_for_streams(server, 0, PATIENCE)
    return trades


def rows(found: Report) -> list[Row]:
    streams = found.asked.streams
    resumes, ids = found.resumes, found.ids
    back = (resumes.away_ms.max or 0) / 1e3
    first, away = resumes.first_event_ms, resumes.away_ms
    what = f"{streams:,} clients back after a restart, {BEHIND} events behind"
    wrong = ids.lost + ids.duplicates + ids.resets + ids.malformed + ids.mismatches
    gaps = sum(ids.gaps.values())
    return [
        at_most(
            what,
            back,
            SECONDS,
            f"the last after {back:.1f} s (the second before they try included), p50 "
            f"{_seconds(away.p50)}, p99 {_seconds(away.p99)}; from connect() to the first event "
            f"p50 {_seconds(first.p50)}, p99 {_seconds(first.p99)}",
            " s",
        ),
        Row(
            f"{what}: what they got",
            f"{resumes.count:,} resumed, {ids.lost} lost, {ids.duplicates} twice, {gaps} gaps, "
            f"{ids.behind.streams} behind at the end",
            "all resumed, none lost, none twice",
            resumes.count == streams and not (wrong or gaps or ids.behind.streams),
        ),
    ]


def _seconds(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds / 1e3:.2f} s"
