"""The arguments of `bin/wd-load`."""

import argparse
from pathlib import Path

from wd_client.version import __version__

# Exit codes: an event was lost, came twice or was altered; a wrong argument; streams were not
# opened, given up or not back at the end; the test itself broke (sysexits.h).
EXIT_LOSS = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_BROKEN = 70

STREAM_PATH = "/v4/wallet/{wallet}/stream"
# How long streams are held unless --hold says it, in seconds. Those that don't follow mostly end by
# themselves, but one that is refused again and again must not keep the test for ever.
FOLLOW_SECONDS, COMPLETE_SECONDS = 30.0, 600.0
KEYS_VARIABLE = "WD_LOAD_KEYS"

_EPILOG = f"""\
Keys come from --key-file, from the environment ({KEYS_VARIABLE}, separated by commas or blanks) or
from --key, which everyone on the machine sees in its process list.

Exit codes: 0 all well; {EXIT_LOSS} an event was lost, came twice or was altered;
{EXIT_USAGE} a wrong argument; {EXIT_MISSING} streams were not opened, given up, or not back at the
end (without --churn); {EXIT_BROKEN} the test itself broke.
Ctrl-C ends early, with a report.
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="wd-load",
        description="Opens many streams of a wd-server, checks that each gets every event once, "
        "and tells how long that took.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("url", help="the server, as http://127.0.0.1:5000 or https://example.org/prefix")
    add("--version", action="version", version=f"wd-load {__version__}")
    _add_streams(made.add_argument_group("streams"))
    _add_behaviour(made.add_argument_group("behaviour"))
    _add_target(made.add_argument_group("who and where"))
    _add_output(made.add_argument_group("output"))
    return made


def _add_streams(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--streams", "-n", type=_count, default=100, help="how many (default: %(default)s)")
    add(
        "--ramp",
        type=_amount,
        default=0.0,
        metavar="RATE",
        help="streams opened a second; 0: as fast as they are answered (default)",
    )
    add(
        "--in-flight",
        type=_count,
        default=128,
        metavar="N",
        help="requests that wait for their answer at a time (default: %(default)s)",
    )
    add("--processes", type=_count, default=0, metavar="N", help="default: as many as are needed")
    add("--wallet", action="append", default=[], metavar="ADDRESS", help="may be repeated")
    add("--wallets", metavar="FILE", help="one address a line; - is standard input")
    add("--spread", choices=("even", "zipf"), default="even", help="of streams over the wallets")
    add(
        "--zipf-s",
        type=_amount,
        default=1.0,
        metavar="S",
        help="the wallet at rank r gets a share in proportion to 1/r^S (default: %(default)s)",
    )
    add("--seed", type=int, default=7, help="of all that is left to chance (default: %(default)s)")


def _add_behaviour(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--follow", action="store_true", help="stay for new trades instead of leaving at complete")
    add("--batch", type=_count, default=0, metavar="N", help="trades events of up to N")
    add(
        "--hold",
        type=_amount,
        metavar="SECONDS",
        help="end so long after all streams are open, or when all are over "
        f"(default: {FOLLOW_SECONDS:.0f} with --follow, else {COMPLETE_SECONDS:.0f})",
    )
    add(
        "--open-within",
        type=_amount,
        default=120.0,
        metavar="SECONDS",
        help="begin to hold after that, and the ramp's time, with those that are open "
        "(default: %(default)s)",
    )
    add("--trades", type=_count, default=0, metavar="N", help="a stream leaves after so many")
    add("--slow", type=_percent, default=0.0, metavar="%", help="of clients that read slowly")
    add(
        "--slow-rate",
        type=_count,
        default=4096,
        metavar="BYTES",
        help="a second, for each of them (default: %(default)s)",
    )
    add(
        "--churn",
        type=_amount,
        default=0.0,
        metavar="%",
        help="of streams that drop and resume each minute",
    )
    add(
        "--no-history",
        action="store_true",
        help="the server replays nothing: a stream's first id is where it starts",
    )


def _add_target(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--key", action="append", default=[], help="an API key or token; may be repeated")
    add("--key-file", type=Path, metavar="FILE", help="one key a line; streams take turns")
    add(
        "--source",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="connect from this address; may be repeated (default on the loopback: 127.0.0.2 and "
        "following, when one hasn't ports enough)",
    )
    add("--path", default=STREAM_PATH, help="of a stream, below the URL (default: %(default)s)")
    add("--insecure", action="store_true", help="accept any certificate")


def _add_output(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--json", action="store_true", help="the report as one line of JSON, and no progress")
    add(
        "--announce",
        action="store_true",
        help="first, a line of JSON as soon as all streams are open",
    )
    add(
        "--fail-on-loss",
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"exit with {EXIT_LOSS} when an event was lost, came twice or was altered "
        "(default: yes)",
    )


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _amount(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return number


def _percent(text: str) -> float:
    number = _amount(text)
    if number > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage")
    return number
