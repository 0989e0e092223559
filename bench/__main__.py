"""`python -m bench` measures everything and writes RESULTS.md; `python -m bench NAME…` measures
only what is named, and prints it."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import (
    access,
    backfill,
    fanout,
    heartbeats,
    hundred_thousand,
    latency,
    live,
    memory,
    newcomer,
    nodes,
    opening,
    stall,
    storm,
    wallets,
    webpage,
)
from bench.page import page
from bench.row import Row

RESULTS = Path(__file__).parent / "RESULTS.md"
# In the order of the results.
BENCHES: Mapping[str, Callable[[], list[Row]]] = {
    "fanout": fanout.measure,
    "memory": memory.measure,
    "opening": opening.measure,
    "storm": storm.measure,
    "stall": stall.measure,
    "newcomer": newcomer.measure,
    "heartbeats": heartbeats.measure,
    "wallets": wallets.measure,
    "hundred_thousand": hundred_thousand.measure,
    "backfill": backfill.measure,
    "latency": latency.measure,
    "live": live.measure,
    "access": access.measure,
    "webpage": webpage.measure,
    "nodes": nodes.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    names = parser.parse_args().names
    unknown = ", ".join(set(names) - set(BENCHES))
    if unknown:
        parser.error(f"there is no {unknown}; there are {', '.join(BENCHES)}")
    found = [(name, row) for name in names or BENCHES for row in _measure(name)]
    if not names:
        RESULTS.write_text(page(found))
    return 0


def _measure(name: str) -> list[Row]:
    """Shown as soon as it is known; the next bench may take minutes."""
    rows = BENCHES[name]()
    for row in rows:
        target = f" (target: {row.target}: {row.verdict})" if row.target else ""
        print(f"{name}: {row.what}: {row.figure}{target}", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
