"""Programs that tests start don't get in each other's way."""

import subprocess
import sys

from processes import BLOCK, PATIENCE, ROOT

RUNS, PORTS = 4, 3 * BLOCK
# It keeps them until it is told to end.
TAKE = f"""
from tests.processes import free_port
print(*(free_port() for _ in range({PORTS})), flush=True)
input()
"""


def test_runs_beside_each_other_never_get_the_same_port() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(RUNS)
    ]
    given = []
    for run in runs:
        assert run.stdout is not None
        given += run.stdout.readline().split()
    for run in runs:
        run.communicate("\n", timeout=PATIENCE)
    assert len(set(given)) == len(given) == RUNS * PORTS
