"""The system calls that a server's loop makes, seen by strace."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from processes import PATIENCE, Server

# Not traced, because their number depends on the machine, the allocator and who else runs.
UNTRACED = "%memory,%clock,futex,getpid,sched_yield"
# Bytes shown of what is read and written: a response's head and the begin of what follows it.
SHOWN_BYTES = 1024

_LINE = re.compile(r"(\w+)\((.*)\) += (.*)")


class Call(NamedTuple):
    """`file` is the descriptor it works on, -1 for none; `result` what it returned, in words."""

    name: str
    file: int
    arguments: str
    result: str


class Trace:
    """What the main thread does: the loop, on which everything happens that a client sees. So a
    call is never torn by another thread's, and what threads do for the journal isn't counted."""

    def __init__(self, path: Path, server: Server) -> None:
        self._path = path
        self._server = server

    def mark(self) -> int:
        """A place in the trace: everything before this call is before it."""
        # strace flushes each line before the thread goes on, to the answer too.
        self._server.get("/health/live")
        return self._path.read_bytes().count(b"\n")

    def between(self, start: int, end: int | None = None) -> list[Call]:
        """The finished calls between two marks, or since one."""
        lines = self._path.read_text().splitlines()[start:end]
        return [_call(*match.groups()) for match in map(_LINE.fullmatch, lines) if match]


@contextmanager
def traced(server: Server, path: Path) -> Iterator[Trace]:
    """Counts from here to the end. `path`: a file for what strace writes."""
    if shutil.which("strace") is None:
        pytest.skip("counting system calls takes strace")
    assert server.process is not None
    selected = ["-e", f"trace=!{UNTRACED}", "-e", "signal=none"]
    command = ["strace", "-p", str(server.process.pid), "-s", str(SHOWN_BYTES), *selected]
    with subprocess.Popen(
        [*command, "-o", str(path)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        if not said.endswith("attached\n"):
            pytest.skip(f"counting system calls takes the right to trace a process: {said}")
        try:
            yield Trace(path, server)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _call(name: str, arguments: str, result: str) -> Call:
    first = arguments.partition(",")[0]
    return Call(name, int(first) if first.isdecimal() else -1, arguments, result)


def on(files: Iterable[int], calls: Iterable[Call]) -> dict[int, list[Call]]:
    """The calls on these files, by file."""
    found: dict[int, list[Call]] = {file: [] for file in files}
    for call in calls:
        if call.file in found:
            found[call.file].append(call)
    return found
