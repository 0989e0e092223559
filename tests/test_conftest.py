"""Nothing is left out silently: what tests/conftest.py promises."""

import os
import subprocess
import sys
from collections.abc import Sequence
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


# Who starts workers doesn't count what they left out.
WAYS = pytest.mark.parametrize(
    ("way", "left_out"), [((), "1 deselected, "), (("-n", "2"), "")], ids=["alone", "workers"]
)


def run(folder: Path, ci: str, *way: str) -> tuple[int, str]:
    """What pytest says of CASES in a folder of their own, where no recordings are."""
    tests = folder / "project" / "tests"
    tests.mkdir(parents=True)
    (tests / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tests / "test_cases.py").write_text(CASES)
    (tests.parent / "pytest.ini").write_text("[pytest]\nmarkers = recordings\n")
    plain = ("-p", "no:cacheprovider", "-p", "no:tornado")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, *way, "tests"],
        cwd=tests.parent,
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@WAYS
def test_a_skip_is_a_failure_with_its_reason_under_ci(
    way: Sequence[str], left_out: str, tmp_path: Path
) -> None:
    status, said = run(tmp_path, "true", *way)
    assert status == pytest.ExitCode.TESTS_FAILED
    assert "test_skips was skipped (Skipped: no redis here); under CI=true" in said
    assert f"1 failed, 1 passed, {left_out}1 xfailed" in said.splitlines()[-1]


@WAYS
def test_elsewhere_a_skip_is_a_skip_and_missing_recordings_are_named(
    way: Sequence[str], left_out: str, tmp_path: Path
) -> None:
    status, said = run(tmp_path, "", *way)
    assert status == pytest.ExitCode.OK
    assert said.count("so what reads real transactions is left out (1 tests)") == 1
    assert f"1 passed, 1 skipped, {left_out}1 xfailed" in said.splitlines()[-1]


def test_a_run_that_takes_too_long_ends_as_a_failure_in_workers_too(tmp_path: Path) -> None:
    status, said = run(tmp_path, "", "-n", "2", "--session-timeout=0.001")
    assert status != pytest.ExitCode.OK
    assert "session-timeout: 0.001 sec exceeded" in said
