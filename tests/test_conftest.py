"""Nothing is left out silently: what tests/conftest.py promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = """
import pytest
def test_passes(): pass
def test_skips(): pytest.skip("no redis here")
@pytest.mark.xfail
def test_is_known_to_fail(): assert 0
@pytest.mark.recordings
def test_reads(recordings): pass
"""


def run(folder: Path, ci: str) -> tuple[int, str]:
    """What pytest says of CASES in a folder of their own, where no recordings are."""
    tests = folder / "project" / "tests"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tests / "test_cases.py").write_text(CASES)
    (tests.parent / "pytest.ini").write_text("[pytest]\nmarkers = recordings\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:tornado", "tests"],
        cwd=tests.parent,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_skip_is_a_failure_with_its_reason_under_ci(tmp_path: Path) -> None:
    status, said = run(tmp_path, "true")
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "test_skips was skipped (Skipped: no redis here); under CI=true" in said
    assert "1 failed, 1 passed, 1 deselected, 1 xfailed" in said.splitlines()[-1]


def test_elsewhere_a_skip_is_a_skip_and_missing_recordings_are_named(tmp_path: Path) -> None:
    status, said = run(tmp_path, "")
    assert status == pytest.ExitCode.OK
    assert "recordings: ../shared/recordings is not there" in said
    assert "1 passed, 1 skipped, 1 deselected, 1 xfailed" in said.splitlines()[-1]
