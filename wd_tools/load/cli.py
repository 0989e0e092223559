"""`bin/wd-load`: arguments in, a report out."""

import argparse
import asyncio
import ipaddress
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random
from urllib.parse import SplitResult, urlsplit

import msgspec
from rich.console import Console

from wd_tools.load.arguments import (
    COMPLETE_SECONDS,
    EXIT_BROKEN,
    EXIT_LOSS,
    EXIT_MISSING,
    FOLLOW_SECONDS,
    KEYS_VARIABLE,
    parser,
)
from wd_tools.load.display import Display, Lines, Rewritten, Silence
from wd_tools.load.fleet import Fleet, Outcome, ProcessDied, Standing
from wd_tools.load.job import Habits, Job, Target
from wd_tools.load.plan import Assignment, PlanError, Wishes, plan
from wd_tools.load.report import LoadParameters, Report, report
from wd_tools.load.table import table

_WALLET = re.compile(r"[A-Za-z0-9]{1,100}")
_KEY = re.compile(r"[!-~]+")


class UsageError(Exception):
    """An argument that can't be used; the message says which and why."""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    command_line = parser()
    arguments = command_line.parse_args(argv)
    try:
        keys = _keys(arguments, environ)
        jobs, asked = _prepare(arguments, keys)
    except (UsageError, PlanError) as error:
        command_line.error(str(error))
    try:
        outcome = asyncio.run(_drive(jobs, arguments))
    except ProcessDied as error:
        sys.stderr.write(f"wd-load: {error}.\n")
        return EXIT_BROKEN
    found = report(asked, outcome)
    _print(found, as_json=arguments.json)
    return _exit_code(found, arguments.fail_on_loss)


# What the arguments mean.


def _prepare(
    arguments: argparse.Namespace, keys: Sequence[str]
) -> tuple[list[Job], LoadParameters]:
    """Raises UsageError and PlanError."""
    url = _url(arguments.url)
    target = _target(url, arguments)
    wallets = _wallets(arguments)
    wishes = Wishes(
        streams=arguments.streams,
        wallets=wallets,
        processes=arguments.processes,
        spread=arguments.spread,
        zipf_s=arguments.zipf_s,
        keys=len(keys),
        sources=_sources(arguments.source),
        loopback=target.address.startswith("127."),
        slow=arguments.slow,
        files=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
    )
    streams = plan(wishes, Random(arguments.seed).random)
    asked = LoadParameters(
        url=arguments.url,
        streams=arguments.streams,
        processes=len(streams),
        wallets=len(wallets),
        spread=arguments.spread,
        follow=arguments.follow,
        batch=arguments.batch,
        keys=len(keys),
        ramp=arguments.ramp,
        hold=_hold(arguments),
        slow=arguments.slow,
        churn=arguments.churn,
        seed=arguments.seed,
    )
    return [_job(arguments, target, keys, part, n) for n, part in enumerate(streams)], asked


def _job(
    arguments: argparse.Namespace,
    target: Target,
    keys: Sequence[str],
    streams: list[Assignment],
    number: int,
) -> Job:
    share = len(streams) / arguments.streams
    query = (["follow=true"] if arguments.follow else []) + (
        [f"batch={arguments.batch}"] if arguments.batch else []
    )
    return Job(
        target=target,
        habits=Habits(
            follow=arguments.follow,
            query="&".join(query),
            trades=arguments.trades,
            slow_rate=arguments.slow_rate,
            churn=arguments.churn,
            history=not arguments.no_history,
        ),
        streams=streams,
        keys=list(keys),
        ramp=arguments.ramp * share,
        in_flight=max(1, round(arguments.in_flight * share)),
        seed=arguments.seed + number,
    )


def _hold(arguments: argparse.Namespace) -> float:
    if arguments.hold is not None:
        return float(arguments.hold)
    return FOLLOW_SECONDS if arguments.follow else COMPLETE_SECONDS


def _url(text: str) -> SplitResult:
    url = urlsplit(text)
    try:
        valid = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(f"{text!r} is not an http or https URL")
    if url.query or url.fragment or url.username or url.password:
        raise UsageError("the URL can't carry a query or a password; keys go into --key-file")
    return url


def _target(url: SplitResult, arguments: argparse.Namespace) -> Target:
    path = url.path.rstrip("/") + arguments.path
    if not re.fullmatch(r"/[!-~]*", path):
        raise UsageError(f"{path!r} is not a path")
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"{host} can't be resolved: {error.strerror}") from None
    # IPv4 first: on the loopback only it has many addresses to connect from.
    addresses = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    address = str(addresses[0][4][0])
    return Target(host, address, port, url.scheme == "https", not arguments.insecure, path)


def _wallets(arguments: argparse.Namespace) -> list[str]:
    wallets = list(arguments.wallet)
    if arguments.wallets == "-":
        wallets += _lines(sys.stdin)
    elif arguments.wallets is not None:
        wallets += _lines(_text(Path(arguments.wallets)).splitlines())
    if not wallets:
        raise UsageError("name wallets with --wallet or --wallets")
    for wallet in wallets:
        if not _WALLET.fullmatch(wallet):
            raise UsageError(f"{wallet[:100]!r} is not an address")
    return wallets


def _keys(arguments: argparse.Namespace, environ: Mapping[str, str]) -> list[str]:
    """Nothing but a Job holds them, and a Job's repr doesn't show them. Raises UsageError."""
    keys = list(arguments.key) + environ.get(KEYS_VARIABLE, "").replace(",", " ").split()
    if arguments.key_file is not None:
        keys += _lines(_text(arguments.key_file).splitlines())
    if not all(map(_KEY.fullmatch, keys)):
        raise UsageError("a key has characters that no key has")
    return keys


def _sources(addresses: Sequence[str]) -> Sequence[str]:
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise UsageError(f"{address!r} is not an address to connect from") from None
    return addresses


def _lines(lines: Iterable[str]) -> list[str]:
    """Without blank ones and comments."""
    stripped = (line.strip() for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}") from None


# The test itself.


async def _drive(jobs: Sequence[Job], arguments: argparse.Namespace) -> Outcome:
    display = _display(arguments)
    announce = _Announcement(arguments.streams) if arguments.announce else None

    def notify(standing: Standing) -> None:
        display.show(standing)
        if announce is not None:
            announce.look(standing)

    fleet = Fleet(jobs, time.monotonic, notify)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, fleet.end)
    ramp = arguments.streams / arguments.ramp if arguments.ramp else 0.0
    with display:
        return await fleet.run(arguments.open_within + ramp, _hold(arguments))


def _display(arguments: argparse.Namespace) -> Display:
    if arguments.json:
        return Silence()
    console = Console(stderr=True)
    if console.is_terminal:
        return Rewritten(arguments.streams, console)
    return Lines(arguments.streams, sys.stderr.write)


class _Announcement:
    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._made = False

    def look(self, standing: Standing) -> None:
        if not self._made and standing.progress.opened == self._streams:
            self._made = True
            text = msgspec.json.encode({"open": self._streams, "seconds": standing.seconds})
            sys.stdout.write(text.decode() + "\n")
            sys.stdout.flush()


def _print(found: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        Console().print(table(found))


def _exit_code(found: Report, fail_on_loss: bool) -> int:
    if fail_on_loss and not found.is_whole:
        return EXIT_LOSS
    return 0 if found.is_complete else EXIT_MISSING
