"""`bin/wd-watch`: one wallet's trades in a terminal, or as records for other programs."""

import argparse
import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live
from wd_client import stream
from wd_client.errors import Refused, StreamError
from wd_client.events import Event
from wd_client.version import __version__

from wd_tools.watch.board import Board
from wd_tools.watch.figures import printable
from wd_tools.watch.lines import lines
from wd_tools.watch.records import as_csv, as_json, csv_head
from wd_tools.watch.screen import screen

# Exit codes: the server said no; a wrong argument; the server could not be reached, or not for
# longer than --patience; Ctrl-C before the history was complete (as shells have it).
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_GIVEN_UP = 3
EXIT_INTERRUPTED = 130

URL = "http://127.0.0.1:5000"
URL_VARIABLE, KEY_VARIABLE = "WD_URL", "WD_KEY"
# Renderings of the screen a second: more can't be read, and each costs 5 ms.
FRAMES_PER_SECOND = 8

_EPILOG = f"""\
A key comes from --key-file, from the environment ({KEY_VARIABLE}) or from --key, which everyone on
the machine sees in its process list. {URL_VARIABLE} stands for --url.

Exit codes:
  0    the history is complete, or Ctrl-C after that, or who read the output has left
  {EXIT_REFUSED}    the server refused; what answers is no wd-server; or what came isn't what the
       server proves
  {EXIT_USAGE}    a wrong argument
  {EXIT_GIVEN_UP}    no stream for --patience seconds
  {EXIT_INTERRUPTED}  Ctrl-C before the history was complete
"""

Show = Callable[[Event], None]


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    command_line = _parser()
    arguments = command_line.parse_args(argv)
    board = Board(arguments.address)
    try:
        events = stream(
            arguments.url or environ.get(URL_VARIABLE) or URL,
            arguments.address,
            key=_key(arguments, environ),
            follow=arguments.follow,
            last_event_id=arguments.last_event_id,
            patience=arguments.patience,
        )
    except (ValueError, OSError) as error:
        command_line.error(str(error))
    try:
        return asyncio.run(_watch(events, board, arguments))
    except ValueError as error:  # what can't stand in a header
        command_line.error(str(error))
    except BrokenPipeError:
        # The reader of the pipe has left. The rest of the buffer goes to /dev/null, so that Python
        # doesn't complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except StreamError as error:
        said = f"{error} ({error.code})" if isinstance(error, Refused) else str(error)
        sys.stderr.write(f"wd-watch: {printable(said)}\n")
        return EXIT_GIVEN_UP if error.passing else EXIT_REFUSED


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="wd-watch",
        description="Shows a wallet's trades and what they earned, as they come.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("address", help="the wallet")
    add("--url", help=f"the server (default: {URL})")
    add("--follow", "-f", action="store_true", help="stay for new trades")
    add("--key", help="an API key or a token")
    add("--key-file", type=Path, metavar="FILE", help="the key is its first line")
    add("--last-event-id", metavar="ID", help="go on after this event of an earlier run")
    add(
        "--patience",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="give up after so long without a stream; inf: never (default: %(default).0f)",
    )
    form = made.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a line of JSON for each event")
    form.add_argument("--csv", action="store_true", help="a row for each trade")
    add("--version", action="version", version=f"wd-watch {__version__}")
    return made


def _key(arguments: argparse.Namespace, environ: Mapping[str, str]) -> str | None:
    """Raises OSError."""
    if arguments.key_file is not None:
        text: str = arguments.key_file.read_text()
        return text.partition("\n")[0].strip() or None
    return arguments.key or environ.get(KEY_VARIABLE) or None


def _seconds(text: str) -> float:
    number = float(text)
    if math.isnan(number) or number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


async def _watch(
    events: AsyncGenerator[Event, None], board: Board, arguments: argparse.Namespace
) -> int:
    watching = asyncio.current_task()
    assert watching is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
    try:
        if arguments.json:
            await _follow(events, board, lambda event: _write(as_json(event)))
        elif arguments.csv:
            _write(csv_head())
            await _follow(events, board, lambda event: _write(as_csv(event)))
        else:
            await _show(events, board)
    except asyncio.CancelledError:
        return 0 if board.complete is not None else EXIT_INTERRUPTED
    return 0


async def _show(events: AsyncGenerator[Event, None], board: Board) -> None:
    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        await _follow(events, board, lambda event: _write(_text(event)))
        return

    def rendered() -> RenderableType:
        return screen(board, console.width, console.height, time.monotonic())

    with Live(
        get_renderable=rendered,
        console=console,
        refresh_per_second=FRAMES_PER_SECOND,
    ):
        await _follow(events, board, lambda event: None)


async def _follow(events: AsyncGenerator[Event, None], board: Board, show: Show) -> None:
    async with aclosing(events):
        async for event in events:
            board.take(event, time.monotonic())
            show(event)


def _text(event: Event) -> str:
    return "".join(f"{printable(line)}\n" for line in lines(event))


def _write(text: str) -> None:
    if text:
        sys.stdout.write(text)
        sys.stdout.flush()
