"""`bin/verify_deployment.sh` against servers that are as they should be, and that aren't."""

import json
import os
import pty
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from deployment import AMPLE
from processes import ROOT, Server, Simulator, free_port, server, simulator

VERIFY = ROOT / "bin/verify_deployment.sh"
# Seconds for all checks; with the integration tests it takes a minute and a half.
SECONDS = 300
TIMED = ("health's time", "metrics' time", "first event's time")


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", "--wallets", "200") as started:
        yield started


@pytest.fixture(scope="module")
def locked(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for keys."""
    folder = tmp_path_factory.mktemp("locked")
    with server(folder, chain.url, API_KEY_REQUIRED="true") as started:
        yield started


@pytest.fixture(scope="module")
def key(locked: Server) -> str:
    return locked.key("--streams", "60", "--requests", "0")


def _run(url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VERIFY, *arguments],
        env={"PATH": os.environ["PATH"], "API_URL": url, **env},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _checks(url: str, **env: str) -> tuple[int, dict[str, Any], dict[str, dict[str, Any]]]:
    """The exit code, the whole object, and the checks by name."""
    done = _run(url, "--json", "--no-integration", **env)
    result = json.loads(done.stdout)
    checks = {check["check"]: check for check in result["checks"]}
    for status, count in (("pass", "passed"), ("FAIL", "failed"), ("skip", "skipped")):
        assert sum(check["status"] == status for check in checks.values()) == result[count]
    for check in checks.values():
        assert ("hint" in check) == (check["status"] == "FAIL")
    return done.returncode, result, checks


def test_all_passes_with_a_key(locked: Server, key: str) -> None:
    code, result, checks = _checks(locked.url, VERIFY_AUTH="true", TEST_API_KEY=key, **AMPLE)
    assert (code, result["failed"]) == (0, 0), result
    for name in TIMED:
        check = checks[name]
        assert check["p50_ms"] <= check["p95_ms"] <= check["max_ms"]
    assert checks["stream"]["first_event_ms"] >= 0
    assert {"without a key", "with a wrong key", "with a valid key", "unknown path"} < checks.keys()
    assert {"security headers", "promtool", "metrics' format"} < checks.keys()


def test_answers_that_take_too_long_fail(locked: Server, key: str) -> None:
    none = dict.fromkeys(AMPLE, "0")
    code, result, checks = _checks(locked.url, TEST_API_KEY=key, TRIES="2", **none)
    assert (code, result["failed"]) == (1, len(TIMED))
    assert {checks[name]["status"] for name in TIMED} == {"FAIL"}


def test_the_limits_are_the_products(locked: Server, key: str) -> None:
    _, _, checks = _checks(locked.url, TEST_API_KEY=key, TRIES="2")
    assert [checks[name]["limit_ms"] for name in TIMED] == [100, 50, 500]


@pytest.mark.long
def test_the_integration_tests_are_part_of_it(locked: Server, chain: Simulator, key: str) -> None:
    done = _run(locked.url, TEST_API_KEY=key, TEST_WALLET=chain.wallet(200), **AMPLE)
    assert done.returncode == 0, done.stdout
    assert " passed in " in done.stdout
    assert "\n0 failed" not in done.stdout


@pytest.mark.parametrize(
    ("mode", "owner", "status"),
    [(0o640, 0, "pass"), (0o600, 0, "pass"), (0o600, 65534, "FAIL"), (0o660, 0, "FAIL")],
)
def test_a_settings_file_that_others_can_write_is_wrong(
    tmp_path: Path, mode: int, owner: int, status: str
) -> None:
    if owner and os.geteuid() != 0:
        pytest.skip("only root gives a file away")
    settings = tmp_path / "env"
    settings.touch()
    settings.chmod(mode)
    os.chown(settings, owner or os.getuid(), -1)
    nobody = f"http://127.0.0.1:{free_port()}"
    _, _, checks = _checks(nobody, TRIES="1", DEPLOY_ROOT=str(tmp_path))
    assert checks["settings file"]["status"] == status
    assert str(settings) in checks["settings file"]["detail"]


def test_without_its_key_what_is_wrong_is_said(locked: Server) -> None:
    code, _, checks = _checks(locked.url, TRIES="2")
    assert code == 1
    assert checks["health"]["status"] == "pass"
    assert checks["stream"]["status"] == "FAIL"
    assert "TEST_API_KEY" in checks["stream"]["hint"]


def test_a_key_that_is_none_of_the_servers_is_not_valid(locked: Server) -> None:
    code, _, checks = _checks(
        locked.url, VERIFY_AUTH="true", TEST_API_KEY="wd_" + "A" * 32, TRIES="2"
    )
    assert code == 1
    assert checks["without a key"]["status"] == "pass"
    assert checks["with a valid key"]["status"] == "FAIL"


def test_a_server_that_lets_everybody_in_fails_authentication(
    chain: Simulator, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as open_to_all:
        code, _, checks = _checks(open_to_all.url, VERIFY_AUTH="true", TEST_API_KEY="x", TRIES="2")
    assert code == 1
    assert checks["without a key"]["status"] == "FAIL"
    assert "API_KEY_REQUIRED" in checks["without a key"]["hint"]


def test_an_upstream_that_is_missing_shows_in_the_stream(tmp_path: Path) -> None:
    with server(tmp_path, None) as without:
        code, _, checks = _checks(without.url, TRIES="2")
    assert code == 1
    assert checks["a stream's end"]["status"] == "FAIL"
    assert "HELIUS_KEY" in checks["a stream's end"]["hint"]


def test_nobody_there_fails_everything_but_what_is_left_out(tmp_path: Path) -> None:
    code, result, checks = _checks(f"http://127.0.0.1:{free_port()}", TRIES="2")
    assert code == 1
    assert result["passed"] == 0
    assert "connect" in checks["health"]["detail"]


def test_another_server_is_not_taken_for_ours() -> None:
    with _foreign() as url:
        code, _, checks = _checks(url, TRIES="2")
    assert code == 1
    for name in ("health", "metrics", "metrics' format", "stream", "unknown path"):
        assert checks[name]["status"] == "FAIL", checks[name]
    assert checks["security headers"]["status"] == "FAIL"


def test_what_a_foreign_server_says_does_nothing_to_the_terminal() -> None:
    with _foreign() as url:
        said = _run(url, "--no-integration", TRIES="1").stdout
    assert "many" in said
    assert not {"\x01", "\x1b"} & set(said)


def test_colours_are_for_terminals_only(locked: Server) -> None:
    plain = _run(locked.url, "--no-integration", TRIES="2").stdout
    assert "\033[" not in plain
    assert plain.splitlines()[-1].endswith("skipped")
    controlling, terminal = pty.openpty()
    with open(terminal, "wb") as out:
        subprocess.run(
            [VERIFY, "--no-integration"],
            env={"PATH": os.environ["PATH"], "API_URL": locked.url, "TRIES": "2"},
            stdout=out,
            timeout=SECONDS,
            check=False,
        )
    with open(controlling, "rb") as seen:
        assert b"\033[32mpass" in seen.read1(65536)


class _Foreign(BaseHTTPRequestHandler):
    """Answers everything with 200 and something odd."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b'walletdoctor_active_streams{"x} many\n"quoted" \\ \x01\x1b[2J\n')

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


@contextmanager
def _foreign() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Foreign) as served:
        served.daemon_threads = True
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()
