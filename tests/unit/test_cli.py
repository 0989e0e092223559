import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

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
    for name in (*PRODUCTION, "PORT", "DRAIN_SECONDS", "API_KEY_REQUIRED", "JWT_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_valid_settings_are_called_valid(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--check"]) == 0
    assert capsys.readouterr().out == "The settings are valid.\n"


def test_scripts_get_values_that_are_valid_each_ended_by_nul(tmp_path: Path) -> None:
    text = "DRAIN_SECONDS=08\nMETRICS_TOKEN=\"$(id) 'é'\"\nHOST=[::1]\n"
    asked = ("--print=HOST", "--print=DRAIN_SECONDS", "--print=METRICS_TOKEN")
    printed = started("--check", "--env-file", "-", *asked, text=text)
    assert (printed.returncode, printed.stdout) == (0, "::1\x008\x00$(id) 'é'\x00")
    wrong = started("--env-file", "-", *asked, text="PORT=many\nnothing\n")
    assert (wrong.returncode, wrong.stdout) == (cli.EXIT_CONFIG, "")
    assert "standard input, line 2" in wrong.stderr


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


def test_production_with_keys_is_valid(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in PRODUCTION.items():
        environment.setenv(name, value)
    assert cli.main(["--check"]) == 0


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PRIVATE KEY-----"])
def test_a_file_of_public_keys_that_has_none_is_a_wrong_setting(
    text: str,
    tmp_path: Path,
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "keys.pem"
    file.write_text(text)
    environment.setenv("JWT_KEYS_FILE", str(file))
    environment.setenv("JWT_ISSUER", "https://issuer.example")
    assert cli.main(["--check"]) == cli.EXIT_CONFIG
    assert "JWT_KEYS_FILE" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_of_authorities_that_has_none_is_a_wrong_setting(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    content: bytes | None,
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_bytes(content)
    environment.setenv("REDIS_URL", f"rediss://127.0.0.1/?ssl_ca_certs={file}")
    assert cli.main(["--check"]) == cli.EXIT_CONFIG
    assert "REDIS_URL: a file" in capsys.readouterr().err


def started(
    *arguments: str, environ: Mapping[str, str] = MappingProxyType({}), text: str = ""
) -> subprocess.CompletedProcess[str]:
    """A server that can't serve, in a process of its own since it sets up logging."""
    return subprocess.run(
        [sys.executable, str(ROOT / "bin/wd-server"), *arguments],
        env=dict(environ),
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_address_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = started("--port", str(port), "--data-dir", str(tmp_path))
    assert ended.returncode == cli.EXIT_OS
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("environ", [{}, {"SECRET_KEY": "s" * 32}])
def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path, environ: dict[str, str]) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    ended = started("--port", "0", "--data-dir", str(file), environ=environ)
    assert ended.returncode == cli.EXIT_OS
    assert "can't open what it keeps" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_limits_nobody_unless_it_is_told_to() -> None:
    arguments = cli._parser().parse_args(["--demo"])
    free = cli._overrides(arguments, {})
    assert (free["rate_limit_requests"], free["rate_limit_streaming_connections"]) == (0, 0)
    assert free["rate_limit_wallets"] == 0
    assert "rate_limit_requests" not in cli._overrides(arguments, {"RATE_LIMIT_REQUESTS": "5"})


PROGRAMS = sorted((ROOT / "bin").glob("wd-*"))
# Debian's Python, which has none of the packages.
OUTSIDE = {"PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_each_program_starts_from_a_checkout(program: Path, tmp_path: Path) -> None:
    def ask_for_help(path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [path, "--help"], env=OUTSIDE, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    helped = ask_for_help(program)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert f"usage: {program.name}" in helped.stdout
    # Before `make install`.
    (tmp_path / "bin").mkdir()
    refused = ask_for_help(Path(shutil.copy(program, tmp_path / "bin")))
    assert refused.returncode == 1
    assert "Run `make install` first" in refused.stderr
    assert "Traceback" not in refused.stderr
