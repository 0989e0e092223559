"""Several servers with one Redis and one simulated chain behind nginx, all on the loopback.

`make cluster` (`python -m tests.cluster`) starts them for people, until Ctrl-C; tests and
benchmarks take the parts.
"""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.nginx import Nginx, NotInstalled, nginx
from tests.processes import Server, Simulator, simulator
from tests.redis_server import redis_cluster, redis_server

NODES = 3
# Transactions of the wallets that are proposed; they go on by so many a second together.
TO_TRY = (20, 200, 5_000)
LIVE_RATE = 0.5
# Seconds: more than three heartbeats.
SILENCE = 60
# Lines of a log that are shown of what didn't start.
LAST_LINES = 15
# What all nodes sign and hash with, so that a key of one is a key of all. It protects nothing.
SECRET_KEY = "a secret for servers on the loopback"

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotStarted(Exception):
    """What of the cluster did not start, and why, in a sentence and with the end of its log."""


@dataclass
class Cluster:
    """`url` is nginx's: any node answers there."""

    nodes: list[Server]
    nginx: Nginx

    @property
    def url(self) -> str:
        return self.nginx.url

    def stream(self, wallet: str, query: str = "") -> str:
        """A stream's URL, whichever node it is of."""
        return f"{self.url}/v4/wallet/{wallet}/stream" + (f"?{query}" if query else "")


def node(folder: Path, redis_url: str, upstream: str, **settings: object) -> Server:
    """One that isn't started yet. Its data folder is its own, though nothing of use is in it."""
    return Server(folder, upstream, REDIS_URL=redis_url, **{"SECRET_KEY": SECRET_KEY, **settings})


@contextmanager
def cluster(
    folder: Path,
    redis_url: str,
    upstream: str,
    *more: Server,
    count: int = NODES,
    silence: int = SILENCE,
    **settings: object,
) -> Iterator[Cluster]:
    """`count` nodes and those given, behind nginx, which gives up one that has said nothing for
    `silence` seconds. Raises NotStarted."""
    nodes = [
        node(folder / f"node{number}", redis_url, upstream, **settings)
        for number in range(1, count + 1)
    ]
    nodes += more
    with ExitStack() as stack:
        for number, each in enumerate(nodes, 1):
            stack.callback(_end, each)
            with _starting(f"node {number}", each.log):
                each.start()
        with _starting("nginx", folder / "nginx" / "error.log"):
            addresses = [each.address for each in nodes]
            front = stack.enter_context(nginx(folder / "nginx", addresses, silence))
        yield Cluster(nodes, front)


def _end(server: Server) -> None:
    if server.process is not None and server.process.poll() is None:
        server.kill()


@contextmanager
def _starting(what: str, log: Path | None = None) -> Iterator[None]:
    try:
        yield
    except (AssertionError, NotInstalled, OSError, ValueError, subprocess.SubprocessError) as error:
        if log is None or not log.exists():
            raise NotStarted(f"{what} did not start: {error}") from error
        end = log.read_text().splitlines()[-LAST_LINES:]
        raise NotStarted("\n".join([f"{what} did not start. Its log ends so:", *end])) from error


# What people start.


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    with TemporaryDirectory(prefix="wd-cluster-") as folder, suppress(KeyboardInterrupt):
        try:
            _run(Path(folder), arguments.redis_cluster)
        except NotStarted as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make cluster",
        description="Three servers, one Redis and a simulated chain behind nginx, until Ctrl-C.",
    )
    parser.add_argument(
        "--redis-cluster", action="store_true", help="six processes of Redis instead of one"
    )
    return parser


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _run(folder: Path, redis_is_cluster: bool) -> None:
    with ExitStack() as stack:
        with _starting("Redis"):
            redis = stack.enter_context(redis_cluster() if redis_is_cluster else redis_server())
        with _starting("the simulated chain"):
            wallets = [f"--wallets={size}" for size in TO_TRY]
            chain = stack.enter_context(
                simulator("--only", *wallets, f"--live={LIVE_RATE}", "--end-time=now")
            )
        url = redis.url.reveal()
        started = stack.enter_context(
            cluster(
                folder,
                url,
                chain.url,
                PRICE_URL=chain.url,
                PRICE_SOURCE="defillama",
            )
        )
        print(_greeting(started, chain, url), flush=True)
        _watch(started)


def _greeting(started: Cluster, chain: Simulator, redis_url: str) -> str:
    nodes = [
        f"node {number}     {each.url}   log: {each.log}"
        for number, each in enumerate(started.nodes, 1)
    ]
    streams = [
        f"  curl -N '{started.stream(wallet, 'follow=true')}'   # {size:,} transactions"
        for wallet, size in chain.wallets
    ]
    return "\n".join(
        [
            f"nginx      {started.url}",
            *nodes,
            f"Redis      {redis_url}",
            f"chain      {chain.url}",
            "",
            "Any node answers for any wallet:",
            *streams,
            "",
            "Ctrl-C ends all.",
        ]
    )


def _watch(started: Cluster) -> None:
    """Until a signal; says which node has ended meanwhile. The others go on: that is what they
    are for."""
    ended: set[int] = set()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        for number, each in enumerate(started.nodes, 1):
            if number not in ended and each.process is not None and each.process.poll() is not None:
                ended.add(number)
                print(f"node {number} has ended; its log: {each.log}", flush=True)
        signal.sigwaitinfo({signal.SIGCHLD})


if __name__ == "__main__":
    sys.exit(main())
