"""Which process opens which streams: for which wallet, with which key, from which address."""

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal

from msgspec import Struct

# Streams one process holds at most. Beyond it, one Python process is what is measured.
PROCESS_STREAMS = 18_000
# Files of a process that are no stream: pipes, the loop's own, libraries while they are loaded.
SPARE_FILES = 200
# Streams from one address of the loopback. A kernel has 28,232 ports for one unless told otherwise
# (net.ipv4.ip_local_port_range), and its search for a free one gets long before they are gone: at
# 15,000 from one address it took 40 % of all the time that opening them took.
SOURCE_STREAMS = 5_000
# 127.0.0.1 stays free for everything else on the machine.
FIRST_SOURCE, LAST_SOURCE = 2, 254

Spread = Literal["even", "zipf"]


class PlanError(ValueError):
    """What was asked for can't be done from here; the message says what can."""


class Wishes(Struct, frozen=True, kw_only=True):
    """`processes` 0: as many as needed. `sources`: addresses to connect from; empty: the kernel
    chooses, unless the target is the loopback and one address hasn't ports enough. `files`: how
    many a process may open. `slow` is a percentage."""

    streams: int
    wallets: Sequence[str]
    processes: int = 0
    spread: Spread = "even"
    zipf_s: float = 1.0
    keys: int = 0
    sources: Sequence[str] = ()
    loopback: bool = False
    slow: float = 0.0
    files: int = PROCESS_STREAMS + SPARE_FILES


class Assignment(Struct, frozen=True, array_like=True, gc=False):
    """One stream. `key` is a number in the list of keys; None: without."""

    wallet: str
    key: int | None
    source: str | None
    slow: bool


def plan(wishes: Wishes, chance: Callable[[], float]) -> list[list[Assignment]]:
    """The streams of each process. `chance` gives numbers from 0 up to, not including, 1; with the
    same ones the plan is the same. Raises PlanError."""
    processes = _processes(wishes)
    sources = _sources(wishes)
    wallets = _wallets(wishes, chance)
    streams = [
        Assignment(
            wallet=wallets(number),
            key=number % wishes.keys if wishes.keys else None,
            source=sources[number % len(sources)] if sources else None,
            slow=_is_chosen(number, wishes.slow),
        )
        for number in range(wishes.streams)
    ]
    return [streams[process::processes] for process in range(processes)]


def _processes(wishes: Wishes) -> int:
    most = min(PROCESS_STREAMS, wishes.files - SPARE_FILES)
    if most < 1:
        raise PlanError(
            f"a process may open {wishes.files} files here; allow more (ulimit -n), best 20000"
        )
    needed = -(-wishes.streams // most)
    if wishes.processes and wishes.processes < needed:
        raise PlanError(
            f"{wishes.streams} streams need {needed} processes: one holds {most} at most here"
        )
    return min(wishes.processes or needed, wishes.streams)


def _sources(wishes: Wishes) -> Sequence[str]:
    if wishes.sources or not wishes.loopback or wishes.streams <= SOURCE_STREAMS:
        return wishes.sources
    needed = -(-wishes.streams // SOURCE_STREAMS)
    if needed > LAST_SOURCE - FIRST_SOURCE + 1:
        raise PlanError(f"{wishes.streams} streams are more than 127.0.0.0/24 has ports for")
    return [f"127.0.0.{FIRST_SOURCE + number}" for number in range(needed)]


def _wallets(wishes: Wishes, chance: Callable[[], float]) -> Callable[[int], str]:
    wallets = wishes.wallets
    if wishes.spread == "even":
        return lambda number: wallets[number % len(wallets)]
    # Zipf: the wallet at rank r, in the order given, has a share in proportion to 1 / r^s.
    weights = list(accumulate((rank + 1) ** -wishes.zipf_s for rank in range(len(wallets))))
    return lambda number: wallets[min(bisect(weights, chance() * weights[-1]), len(wallets) - 1)]


def _is_chosen(number: int, percent: float) -> bool:
    """Evenly among all: of every hundred in a row, so many."""
    return int((number + 1) * percent / 100) > int(number * percent / 100)
