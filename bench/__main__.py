"""`make bench`: every measurement, one after the other, into one table in RESULTS.md."""

import os
import platform
import sys
import time
import timeit
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import process_time

from bench import backfill, latency
from bench.row import Row

RESULTS = Path(__file__).parent / "RESULTS.md"
BENCHES: tuple[Callable[[], list[Row]], ...] = (backfill.measure, latency.measure)
LIBRARIES = ("tornado", "uvloop", "msgspec", "pycurl")


def main() -> int:
    rows = []
    for bench in BENCHES:
        for row in bench():
            print(f"{row.what}: {row.figure} (target: {row.target})", flush=True)
            rows.append(row)
    RESULTS.write_text(_page(rows))
    return 0


def _page(rows: list[Row]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    lines = [
        "# Results",
        "",
        "Written by `make bench`; don't edit. Times depend on the machine and on what else it",
        "does. CPU is what the server process used (user and system).",
        "",
        f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}",
        f"- {_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end",
        f"- Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
        f"- {versions}",
        f"- for comparison, `sum(range(100_000))` takes {_reference():.2f} ms here and now",
        "",
        "| what | figure | target |",
        "|---|---|---|",
        *(f"| {row.what} | {row.figure} | {row.target} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


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


if __name__ == "__main__":
    sys.exit(main())
