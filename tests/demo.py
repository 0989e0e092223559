"""`bin/wd-server --demo`, as a new user starts it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from processes import ROOT, free_port

PROGRAM = (sys.executable, ROOT / "bin/wd-server")


@contextmanager
def demo(
    *arguments: str, program: Sequence[str | Path] = PROGRAM, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and what it printed."""
    port = free_port()
    process = subprocess.Popen(
        [*program, "--demo", "--port", str(port), *arguments],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = ""
        while "Ctrl-C" not in printed:
            line = process.stdout.readline()
            assert line, "the demo ended"
            printed += line
        yield process, printed
    finally:
        process.kill()
        process.communicate()
