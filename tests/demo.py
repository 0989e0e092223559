"""`bin/wd-server --demo`, as a new user starts it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from processes import ROOT, free_port


@contextmanager
def demo(*arguments: str, **settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and what it printed."""
    port = free_port()
    command = [sys.executable, str(ROOT / "bin/wd-server"), "--demo", "--port", str(port)]
    process = subprocess.Popen(
        [*command, *arguments],
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
