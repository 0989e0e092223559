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
from wd_server.config import env_file
from wd_server.config.settings import InvalidSettings, Settings
from wd_server.demo import Demo, simulated_chain
from wd_server.errors import StoreUnavailable
from wd_server.secret import Secret
from wd_server.server import Server
from wd_server.supervisor import Supervisor

# What the simulated chain allows a second is more than one wallet needs.
DEMO_PLAN = "professional"
# Who tries things out on one machine comes from one address: nothing is limited unless it is said.
DEMO_UNLIMITED = (
    "RATE_LIMIT_REQUESTS",
    "RATE_LIMIT_WALLETS",
    "RATE_LIMIT_STREAMING_CONNECTIONS",
)

# Transactions of the wallet that the demo proposes: enough to see something, done at once.
EXAMPLE_SIZE = 200
# Wallets that are named: the example and the largest.
SHOWN_WALLETS = 3

# What `--check` says, and the settings whose values scripts may ask it for.
VALID = "The settings are valid.\n"
PRINTED = ("HOST", "PORT", "DRAIN_SECONDS", "DATA_DIR", "METRICS_TOKEN")

# The umask: whatever the server writes is for its own user.
PRIVATE = 0o077

# Exit codes: the operator's settings are wrong; the machine refused (sysexits.h).
EXIT_CONFIG = 78
EXIT_OS = 71


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        environ = {**env_file.read(arguments.env_file), **os.environ}
        settings = Settings.from_environment(environ, **_overrides(arguments, environ))
        check_files(settings)
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIG
    if arguments.check or arguments.print:
        printed = _printed(settings, arguments.print) if arguments.print else VALID
        sys.stdout.write(printed)
        return 0
    os.umask(PRIVATE)
    logs.configure(settings.log_level, settings.log_format, sys.stderr, settings.secrets())
    supervisor = Supervisor(os.environ, os.getpid())
    if not arguments.demo:
        serve = _serve(settings, supervisor, None)
    else:
        serve = _serve_demo(settings, supervisor, keeps_data=_names_data_dir(arguments, environ))
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
    parser.add_argument(
        "--print",
        action="append",
        choices=PRINTED,
        help="like --check, but if all settings are valid, print its value, even if it is a "
        "secret, followed by a NUL, for scripts; may be repeated",
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="NAME=value lines, - for standard input; a variable that the environment also sets is "
        "taken from there",
    )
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (PORT)")
    parser.add_argument(
        "--data-dir", type=Path, metavar="FOLDER", help="folder of the journal (DATA_DIR)"
    )
    return parser


def _printed(settings: Settings, names: Sequence[str]) -> str:
    values = (getattr(settings, name.lower()) for name in names)
    return "".join(f"{_plain(value)}\0" for value in values)


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value.reveal() if isinstance(value, Secret) else str(value)


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


def _names_data_dir(arguments: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    return arguments.data_dir is not None or bool(environ.get("DATA_DIR", "").strip())


async def _serve_demo(settings: Settings, supervisor: Supervisor, *, keeps_data: bool) -> None:
    """The simulated chain begins anew with each start, and so do journals and keys unless a folder
    is named for them."""
    with TemporaryDirectory(prefix="wd-server-demo-") as folder:
        data_dir = settings.data_dir if keeps_data else Path(folder)
        async with simulated_chain() as demo:
            url = Secret(demo.url)
            settings = replace(
                settings,
                helius_rpc_url=url,
                helius_ws_url=Secret("ws" + demo.url.removeprefix("http")),
                price_url=url,
                data_dir=data_dir,
            )
            await _serve(settings, supervisor, demo, keeps_data=keeps_data)


async def _serve(
    settings: Settings, supervisor: Supervisor, demo: Demo | None, *, keeps_data: bool = True
) -> None:
    server = Server(App(settings, demo.wallets if demo is not None else None), supervisor)
    await server.start()
    if demo is not None:
        kept = settings.data_dir if keeps_data else None
        sys.stdout.write(_welcome(f"http://{settings.host}:{server.port}", demo, kept))
        sys.stdout.flush()
    await server.run_until_signal()


def _welcome(base: str, demo: Demo, kept: Path | None) -> str:
    """`kept` is the folder of what stays when the server has stopped."""
    example, *others = sorted(demo.wallets, key=lambda each: abs(each.transactions - EXAMPLE_SIZE))
    larger = sorted(others, key=lambda each: -each.transactions)[: SHOWN_WALLETS - 1]
    shown = "\n".join(
        f"  {each.address}  {each.transactions:,} transactions" for each in (example, *larger[::-1])
    )
    stay = "Journals and keys are gone at the end, unless DATA_DIR names a folder for them."
    if kept is not None:
        stay = f"Journals and keys stay in {kept}, where bin/wd-keys finds them by DATA_DIR."
    return f"""
wd-server is running with a simulated chain. Open {base}/ or try one of its wallets:

{shown}

  curl -N {base}/v4/wallet/{example.address}/stream
  bin/wd-watch {example.address} --follow --url {base}
  bin/wd-load {base} --wallet {example.address} --streams 100

The first shows the events, the second stays for new trades, one every few seconds, and the third
checks that a hundred streams get every event once.
{stay}
Ctrl-C stops the server.

"""
