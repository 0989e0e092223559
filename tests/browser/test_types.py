"""The page's scripts keep what they say of their types."""

import subprocess
from pathlib import Path

from processes import PATIENCE, ROOT

TSC = ROOT / "clients/ts/node_modules/.bin/tsc"


def test_the_compiler_finds_nothing_to_complain_of() -> None:
    project = Path(__file__).with_name("jsconfig.json")
    done = subprocess.run(
        [TSC, "--project", project], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout
