import socket
import subprocess
import sys
from pathlib import Path

import pytest

from wd_server import cli

ROOT = Path(__file__).resolve().parents[2]

PRODUCTION = {
    "ENV": "production",
    "HELIUS_KEY": "0123456789abcdef",
    "SECRET_KEY": "s" * 32,
    "REDIS_URL": "redis://127.0.0.1/",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*PRODUCTION, "PORT", "DRAIN_SECONDS", "API_KEY_REQUIRED"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_valid_settings_are_called_valid(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--check"]) == 0
    assert capsys.readouterr().out == "The settings are valid.\n"


def test_every_wrong_setting_is_named_at_once(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment.setenv("PORT", "many")
    environment.setenv("DRAIN_SECONDS", "-1")
    assert cli.main(["--check"]) == cli.EXIT_CONFIG
    error = capsys.readouterr().err
    assert "PORT" in error
    assert "DRAIN_SECONDS" in error


def test_a_wrong_argument_is_a_wrong_setting(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--check", "--port", "70000"]) == cli.EXIT_CONFIG
    assert "PORT" in capsys.readouterr().err


def test_nobody_is_served_where_keys_are_demanded_that_cannot_be_checked(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in PRODUCTION.items():
        environment.setenv(name, value)
    assert cli.main(["--check"]) == cli.EXIT_CONFIG
    assert "API_KEY_REQUIRED" in capsys.readouterr().err
    environment.setenv("API_KEY_REQUIRED", "false")
    assert cli.main(["--check"]) == 0


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A server that can't serve, in a process of its own since it sets up logging."""
    command = [sys.executable, str(ROOT / "bin/wd-server"), *arguments]
    return subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)


def test_an_address_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started("--port", str(port), "--data-dir", str(tmp_path))
    assert ended.returncode == cli.EXIT_OS
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_journal_that_cannot_be_opened_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    ended = started("--port", "0", "--data-dir", str(file))
    assert ended.returncode == cli.EXIT_OS
    assert "journal" in ended.stderr
    assert "Traceback" not in ended.stderr
