"""bin/wd-sim: a simulated Solana RPC until it is told to stop."""

import argparse
import asyncio
import json
import re
import signal
import sys
import time
from collections.abc import Sequence

import msgspec

from wd_tools.simulator.commitments import FINALIZED_SECONDS
from wd_tools.simulator.faults import Fault
from wd_tools.simulator.limits import PLANS
from wd_tools.simulator.options import END_TIME, SIZES, SimulatorOptions
from wd_tools.simulator.server import Simulator

_WALLETS = re.compile(r"(\d{1,7})(?:x(\d{1,6}))?")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    asyncio.run(_serve(_options(arguments), arguments))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wd-sim", description="A simulated Solana RPC, the same for the same seed."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8899, help="0 takes a free one (default: %(default)s)")
    add("--seed", type=int, default=7, help="default: %(default)s")
    _add_wallets(parser)
    _add_life(parser)
    _add_trouble(parser)
    add("--json", action="store_true", help="print one line of JSON when ready")
    add(
        "--until-eof",
        action="store_true",
        help="end with standard input, so as not to outlive who started it",
    )
    return parser


def _add_wallets(parser: argparse.ArgumentParser) -> None:
    """Which wallets there are, and their histories."""
    add = parser.add_argument
    add(
        "--wallets",
        type=_sizes,
        action="append",
        default=[],
        metavar="SIZE[xCOUNT]",
        help="further wallets of so many transactions; may be repeated",
    )
    add(
        "--everything",
        type=_sizes,
        action="append",
        default=[],
        metavar="SIZE[xCOUNT]",
        help="further wallets, which do all there is about as often; may be repeated",
    )
    add("--only", action="store_true", help="leave the usual wallets out")
    add(
        "--end-time",
        type=_moment,
        default=END_TIME,
        metavar="UNIX|now",
        help="when the histories end (default: %(default)s)",
    )
    add("--warm", action="store_true", help="make all histories before listening")


def _add_life(parser: argparse.ArgumentParser) -> None:
    """What goes on after the histories."""
    add = parser.add_argument
    add("--live", type=float, default=0.0, metavar="RATE", help="new transactions a second")
    add(
        "--confirmed",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="after its beginning a slot is confirmed (default: at once)",
    )
    add(
        "--finalized",
        type=float,
        default=FINALIZED_SECONDS,
        metavar="SECONDS",
        help="after its beginning a slot is finalized (default: %(default)s)",
    )


def _add_trouble(parser: argparse.ArgumentParser) -> None:
    """What makes the upstream hard to live with."""
    add = parser.add_argument
    add("--plan", choices=("none", *PLANS), default="none", help="limits to keep to")
    add(
        "--no-gtfa",
        choices=("403", "method-not-found"),
        help="refuse getTransactionsForAddress, and how",
    )
    add(
        "--no-transaction-subscribe",
        choices=("403", "method-not-found"),
        help="refuse transactionSubscribe, and how",
    )
    add("--api-key", help="the key that ?api-key= must have")
    add("--latency", type=float, default=0.0, metavar="MS", help="before every answer")
    add("--jitter", type=float, default=0.0, metavar="MS", help="at most so much more")
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="JSON",
        help='for instance {"kind":"429","count":5,"retry_after":0.1}; may be repeated',
    )


def _options(arguments: argparse.Namespace) -> SimulatorOptions:
    more = tuple(size for sizes in arguments.wallets for size in sizes)
    return SimulatorOptions(
        seed=arguments.seed,
        sizes=more if arguments.only else SIZES + more,
        everything=tuple(size for sizes in arguments.everything for size in sizes),
        end_time=arguments.end_time,
        plan=arguments.plan,
        no_gtfa=arguments.no_gtfa,
        no_transaction_subscribe=arguments.no_transaction_subscribe,
        api_key=arguments.api_key,
        latency=arguments.latency / 1000,
        jitter=arguments.jitter / 1000,
        live_rate=arguments.live,
        confirmed_after=arguments.confirmed,
        finalized_after=arguments.finalized,
        warm=arguments.warm,
        faults=tuple(arguments.fault),
    )


async def _serve(options: SimulatorOptions, arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if arguments.until_eof:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    simulator = Simulator(options)
    port = await simulator.start(arguments.host, arguments.port)
    _announce(simulator, f"http://{arguments.host}:{port}/", as_json=arguments.json)
    await stop.wait()
    await simulator.stop()


def _announce(simulator: Simulator, url: str, *, as_json: bool) -> None:
    out = sys.stdout
    if as_json:
        wallets = [wallet._asdict() for wallet in simulator.wallets]
        out.write(json.dumps({"url": url, "wallets": wallets}) + "\n")
    else:
        for address, size in simulator.wallets:
            out.write(f"{size:>8,} transactions  {address}\n")
        out.write(f"ready {url}\n")
    out.flush()


def _sizes(text: str) -> tuple[int, ...]:
    match = _WALLETS.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 200 or 200x50")
    return (int(match[1]),) * int(match[2] or 1)


def _moment(text: str) -> int:
    return int(time.time()) if text == "now" else int(text)


def _fault(text: str) -> Fault:
    try:
        return msgspec.json.decode(text, type=Fault)
    except msgspec.DecodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a fault: {error}") from None
