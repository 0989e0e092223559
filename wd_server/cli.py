"""`bin/wd-server`: arguments and environment in, a running server out."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from wd_server import __version__, logs
from wd_server.app import App, check_files
from wd_server.demo import Demo, simulated_chain
from wd_server.errors import StoreUnavailable
from wd_server.secret import Secret
from wd_server.server import Server
from wd_server.settings import InvalidSettings, Settings

# What the simulated chain allows a second is more than one wallet needs.
DEMO_PLAN = "professional"
# Who tries things out on one machine comes from one address: nothing is limited unless it is said.
DEMO_UNLIMITED = ("RATE_LIMIT_REQUESTS", "RATE_LIMIT_STREAMING_CONNECTIONS")

# Transactions of the wallet that the demo proposes: enough to see something, done at once.
EXAMPLE_SIZE = 200

# Exit codes: the operator's settings are wrong; the machine refused (sysexits.h).
EXIT_CONFIG = 78
EXIT_OS = 71


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        settings = Settings.from_environment(os.environ, **_overrides(arguments, os.environ))
        check_files(settings)
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    if arguments.check:
        sys.stdout.write("The settings are valid.\n")
        return 0
    logs.configure(settings.log_level, settings.log_format, sys.stderr, settings.secrets())
    if not arguments.demo:
        serve = _serve(settings, None)
    else:
        serve = _serve_demo(settings, keeps_journal=arguments.data_dir is not None)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        sys.stderr.write(f"wd-server can't listen on {where}: {error.strerror}.\n")
        return EXIT_OS
    except StoreUnavailable as error:
        sys.stderr.write(f"wd-server can't open what it keeps: {error}\n")
        return EXIT_OS
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wd-server",
        description="Streams what a Solana wallet's trading really earned.",
        epilog="Everything else is set by environment variables: docs/settings.md lists them.",
    )
    parser.add_argument("--version", action="version", version=f"wd-server {__version__}")
    parser.add_argument(
        "--demo",
        action="store_true",
        help="start a simulated chain beside the server: no key and no network needed",
    )
    parser.add_argument(
        "--check", action="store_true", help="validate the settings, print what is wrong, and exit"
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (PORT)")
    parser.add_argument(
        "--data-dir", type=Path, metavar="FOLDER", help="folder of the journal (DATA_DIR)"
    )
    return parser


def _overrides(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Mapping[str, object]:
    overrides = {
        "host": arguments.host,
        "port": arguments.port,
        "data_dir": arguments.data_dir,
    }
    if arguments.demo:
        overrides |= {"upstream_plan": DEMO_PLAN, "price_source": "defillama"}
        overrides |= {name.lower(): 0 for name in DEMO_UNLIMITED if name not in environ}
    return overrides


async def _serve_demo(settings: Settings, *, keeps_journal: bool) -> None:
    """The simulated chain begins anew with each start, and so does its journal unless a folder is
    named for it."""
    with TemporaryDirectory(prefix="wd-server-demo-") as folder:
        data_dir = settings.data_dir if keeps_journal else Path(folder)
        async with simulated_chain() as demo:
            url = Secret(demo.url)
            settings = replace(
                settings, helius_rpc_url=url, helius_ws_url=None, price_url=url, data_dir=data_dir
            )
            await _serve(settings, demo)


async def _serve(settings: Settings, demo: Demo | None) -> None:
    server = Server(App(settings, demo.wallets if demo is not None else None))
    await server.start()
    if demo is not None:
        sys.stdout.write(_welcome(f"http://{settings.host}:{server.port}", demo))
        sys.stdout.flush()
    await server.run_until_signal()


def _welcome(base: str, demo: Demo) -> str:
    wallets = "\n".join(
        f"  {wallet.transactions:>6,} transactions: {wallet.address}" for wallet in demo.wallets
    )
    example = min(demo.wallets, key=lambda wallet: abs(wallet.transactions - EXAMPLE_SIZE))
    return f"""
wd-server is running at {base}/ with a simulated chain. Wallets to try:

{wallets}

Watch one:

  curl -N {base}/v4/wallet/{example.address}/stream

and stay for its new trades, one every few seconds:

  curl -N '{base}/v4/wallet/{example.address}/stream?follow=true'

Ctrl-C stops the server.

"""
