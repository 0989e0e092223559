"""Where measured programs run, and what they used of the machine."""

import os
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psutil

# Servers have one core, everything else of the benchmark has another.
SERVER_CORE = min(os.sched_getaffinity(0))
CLIENT_CORE = max(os.sched_getaffinity(0))


class Cpu(NamedTuple):
    """Seconds of processor time."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def since(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.user - earlier.user, self.system - earlier.system)


def spawn(command: Sequence[str], core: int, **options: Any) -> subprocess.Popen[str]:
    """Start a program on one core, with all threads and processes it will have."""
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        **options,
    )


def family(pid: int) -> list[psutil.Process]:
    """The process and those it started."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu(processes: Iterable[psutil.Process]) -> Cpu:
    """What they have used so far, with all their threads."""
    times = [process.cpu_times() for process in processes]
    return Cpu(sum(each.user for each in times), sum(each.system for each in times))


def resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes in memory, shared memory included."""
    return sum(process.memory_info().rss for process in processes)
