"""RESULTS.md: the table, and what has to be known to read it."""

import os
import platform
import time
import timeit
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from time import process_time

from bench.contenders import ALL
from bench.row import Row

# What was missed in the run that is kept, and why: written by hand, with the profiles.
MISSED = Path(__file__).parent / "MISSED.md"
# The figures of a release beside those of the one before, on one machine: written by hand, too.
COMPARED = Path(__file__).parent / "COMPARED.md"
# Of what isn't a contender itself.
LIBRARIES = ("msgspec", "pycurl")


def page(found: Iterable[tuple[str, Row]]) -> str:
    """The whole page, from each row and the bench it comes from."""
    measured = [kind.versions() for kind in ALL if not kind.missing()]
    versions = ", ".join([*measured, *(f"{name} {version(name)}" for name in LIBRARIES)])
    lines = [
        "# Results",
        "",
        "Written by `make bench`; don't edit. [README.md](README.md) says how it is measured.",
        "Times depend on the machine and on what else it does; ratios are taken within this run.",
        "CPU is what the server's processes used (user and system).",
        "",
        f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}",
        f"- {_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end",
        f"- Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
        f"- {versions}",
        f"- for comparison, `sum(range(100_000))` takes {_reference():.2f} ms here and now",
        "",
        *table(found),
    ]
    return "\n".join([*lines, "", MISSED.read_text(), COMPARED.read_text()])


def table(found: Iterable[tuple[str, Row]]) -> list[str]:
    return [
        "| bench | what | figure | target | met |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {row.what} | {row.figure} | {row.target} | {row.verdict} |"
            for name, row in found
        ),
    ]


def _reference() -> float:
    """Milliseconds of CPU for the same plain work on every machine: neighbours slow it as much as
    they slow what was measured."""
    return (
        min(timeit.repeat("sum(range(100_000))", number=1, repeat=200, timer=process_time)) * 1000
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
