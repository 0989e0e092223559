"""Deployments on a machine with a real systemd. The tests go through one machine's life in order:
each finds it healthy and leaves it so."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from deployment import AMPLE, PATIENCE, PORT, SETTINGS, Checkout, Deployment
from machine import machine
from processes import ROOT

INSTANCES = (5000, 5001)
# Half of them at each instance.
CLIENTS = 200
# Seconds that clients stay, unless the test sends them home: longer than any deployment takes.
HOLD_SECONDS = 600
# Seconds until the watchdog has seen a hung process, which has then started again.
WATCHDOG_SECONDS = 60
# Lower is better; the rating's own words are "OK" up to 4.9.
EXPOSURE_MAX = 1.5
# sysexits.h: wrong settings.
EXIT_CONFIG = 78


@pytest.fixture(scope="module")
def deployment(
    tmp_path_factory: pytest.TempPathFactory,
    wheels: Path,
    checkout: Checkout,
) -> Iterator[Deployment]:
    """From nothing to healthy."""
    broken = checkout("1.2.0")
    health = broken / "handlers/health.py"
    asked = "health = self.services.health()"
    assert asked in health.read_text()
    health.write_text(health.read_text().replace(asked, "raise SystemError('a broken version')"))
    binds = {
        ROOT: "/srv/source",
        wheels: "/srv/wheels",
        checkout("1.0.0"): "/srv/1.0.0",
        checkout("1.1.0"): "/srv/1.1.0",
        broken: "/srv/1.2.0",
    }
    with machine(tmp_path_factory.mktemp("machine"), binds) as booted:
        started = Deployment(booted)
        started.surround()
        said = started.deploy("1.0.0", **SETTINGS).stdout
        assert "http://127.0.0.1:5000 is healthy and has metrics." in said
        assert "bin/verify_deployment.sh" in said
        assert started.version() == "1.0.0"
        yield started


def test_the_same_again_changes_nothing(deployment: Deployment) -> None:
    before = deployment.machine.pid("walletdoctor")
    assert "runs already" in deployment.deploy("1.0.0").stdout
    assert deployment.machine.pid("walletdoctor") == before


def test_settings_are_kept_and_only_root_can_change_them(deployment: Deployment) -> None:
    machine = deployment.machine
    rights = machine.run("stat", "-c", "%a %U %G", "/etc/wd-server/env").stdout
    assert rights == "640 root wd-server\n"
    deployment.deploy("1.0.0", LOG_LEVEL="debug")
    kept = dict(
        line.split("=", 1) for line in machine.read("/etc/wd-server/env").splitlines() if line
    )
    assert kept == {name: f'"{text}"' for name, text in {**SETTINGS, "LOG_LEVEL": "debug"}.items()}
    environment = machine.read(f"/proc/{machine.pid('walletdoctor')}/environ")
    for name in ("HELIUS_KEY", "SECRET_KEY", "REDIS_URL"):
        assert SETTINGS[name] not in environment


def test_units_are_sound_and_shut_in(deployment: Deployment) -> None:
    units = ["walletdoctor.service", "walletdoctor.socket"]
    units += ["wd-server@5000.service", "wd-server@5000.socket"]
    verified = deployment.machine.run("systemd-analyze", "verify", "--man=no", *units, check=False)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    for unit in ("walletdoctor.service", "wd-server@.service"):
        path = f"/etc/systemd/system/{unit}"
        rated = deployment.machine.run("systemd-analyze", "security", "--offline=true", path)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", rated.stdout)
        assert found is not None
        assert float(found[1]) <= EXPOSURE_MAX


def test_the_drain_has_its_time(deployment: Deployment) -> None:
    stop = deployment.machine.property("walletdoctor", "TimeoutStopUSec")
    assert stop == "45s"  # DRAIN_SECONDS and what comes after it
    assert int(deployment.machine.property("walletdoctor", "LimitNOFILE")) > 100_000
    assert deployment.machine.property("walletdoctor", "User") == "wd-server"


def test_systemd_is_told_how_many_streams_there_are(deployment: Deployment) -> None:
    with _following(deployment, PORT, 3):
        deadline = monotonic() + PATIENCE
        while (status := deployment.machine.property("walletdoctor", "StatusText")) != "3 streams.":
            assert monotonic() < deadline, status
            sleep(0.2)  # it is told every few seconds


def test_a_killed_process_comes_back(deployment: Deployment) -> None:
    before = deployment.machine.pid("walletdoctor")
    deployment.machine.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "walletdoctor")
    assert deployment.version() == "1.0.0"
    assert deployment.machine.pid("walletdoctor") != before


def test_the_watchdog_ends_a_hung_process_and_its_clients_go_on(deployment: Deployment) -> None:
    before = deployment.machine.pid("walletdoctor")
    with _following(deployment, PORT, 10) as following:
        deployment.machine.run(
            "systemctl", "kill", "--kill-whom=main", "--signal=STOP", "walletdoctor"
        )
        # Who comes meanwhile waits in the socket.
        waited = deployment.machine.run(
            *("curl", "-sS", "--max-time", str(WATCHDOG_SECONDS), "http://127.0.0.1:5000/health")
        )
        assert json.loads(waited.stdout)["status"] == "healthy"
        following.stop()
    assert deployment.machine.pid("walletdoctor") != before
    entries = deployment.journal("walletdoctor")
    assert any("Watchdog timeout" in str(entry["MESSAGE"]) for entry in entries)
    # Python says where it was.
    assert any("Fatal Python error: Aborted" in str(entry["MESSAGE"]) for entry in entries)


def test_settings_that_dont_work_are_taken_back(deployment: Deployment) -> None:
    failed = deployment.deploy(
        "1.0.0", check=False, REDIS_URL="redis://127.0.0.1:1", LOG_LEVEL="info"
    )
    assert failed.returncode == 1
    assert "runs again" in failed.stderr
    assert deployment.version() == "1.0.0"
    assert SETTINGS["REDIS_URL"] in deployment.machine.read("/etc/wd-server/env")


def test_settings_that_are_wrong_stop_nothing(deployment: Deployment) -> None:
    before = deployment.machine.pid("walletdoctor")
    refused = deployment.deploy("1.0.0", check=False, PORT="many", DRAIN_SECONDS="-1")
    assert refused.returncode == EXIT_CONFIG
    assert "PORT" in refused.stderr
    assert "DRAIN_SECONDS" in refused.stderr
    assert deployment.machine.pid("walletdoctor") == before


def test_a_restart_refuses_nobody_and_loses_nothing(deployment: Deployment) -> None:
    with _following(deployment, PORT, CLIENTS // 2) as following:
        deployment.machine.run("systemctl", "restart", "walletdoctor")
        following.stop()


def test_a_dry_run_changes_nothing(deployment: Deployment) -> None:
    before = deployment.current(), deployment.machine.pid("walletdoctor")
    listed = "ls -laR --time-style=full-iso /opt/wd-server/releases/.. /etc/wd-server"
    files = deployment.machine.run("bash", "-c", f"{listed} --ignore=.venv")
    said = deployment.deploy("1.1.0", "--dry-run", LOG_LEVEL="warning").stdout
    assert "Nothing was changed." in said
    assert "1.1.0" in said
    assert (deployment.current(), deployment.machine.pid("walletdoctor")) == before
    assert deployment.machine.run("bash", "-c", f"{listed} --ignore=.venv").stdout == files.stdout


def test_instances_are_replaced_one_after_the_other_under_resuming_clients(
    deployment: Deployment,
) -> None:
    deployment.deploy("1.0.0", "--instances", " ".join(map(str, INSTANCES)))
    assert (
        deployment.machine.run("systemctl", "is-active", "walletdoctor.socket", check=False).stdout
        == "inactive\n"
    )
    first, second = INSTANCES
    each = CLIENTS // 2
    with (
        _following(deployment, first, each) as some,
        _following(deployment, second, each) as others,
    ):
        said = deployment.deploy("1.1.0").stdout
        some.stop()
        others.stop()
    assert [deployment.version(port) for port in INSTANCES] == ["1.1.0", "1.1.0"]
    assert said.index(f":{first} is healthy") < said.index(f":{second} is healthy")
    # The second one began to drain only when the first one served again.
    serving = _last(deployment.log(f"wd-server@{first}"), "listening")
    assert serving["version"] == "1.1.0"
    stopping = _last(deployment.log(f"wd-server@{second}"), "stopping")
    assert serving["timestamp"] < stopping["timestamp"]


def test_a_version_that_isnt_healthy_is_rolled_back(deployment: Deployment) -> None:
    release = deployment.current()
    failed = deployment.deploy("1.2.0", check=False, HEALTH_SECONDS="3")
    assert failed.returncode == 1
    assert "a broken version" in failed.stderr  # what the log says
    assert "runs again" in failed.stderr
    assert deployment.current() == release
    assert [deployment.version(port) for port in INSTANCES] == ["1.1.0", "1.1.0"]


def test_back_by_hand_and_forth_again(deployment: Deployment) -> None:
    # As in releases from before the client was a distribution of its own.
    release = "/opt/wd-server/previous"
    deployment.machine.run(f"{release}/.venv/bin/pip", "uninstall", "--quiet", "--yes", "wd-client")
    deployment.machine.run("rm", "-r", f"{release}/clients")
    assert "1.0.0" in deployment.deploy("1.1.0", "--rollback").stdout
    assert [deployment.version(port) for port in INSTANCES] == ["1.0.0", "1.0.0"]
    deployment.deploy("1.1.0", "--rollback")
    assert [deployment.version(port) for port in INSTANCES] == ["1.1.0", "1.1.0"]


def test_back_to_a_single_process(deployment: Deployment) -> None:
    deployment.deploy("1.1.0", "--instances", "")
    assert deployment.version() == "1.1.0"
    active = deployment.machine.run(
        *("systemctl", "list-units", "--plain", "--no-legend", "--state=active"),
        "wd-server@*",
    )
    assert active.stdout == ""


def test_the_journal_has_json_lines(deployment: Deployment) -> None:
    written = [
        entry["MESSAGE"]
        for entry in deployment.journal("wd-server@5001")
        if entry["_TRANSPORT"] == "stdout" and entry["SYSLOG_IDENTIFIER"] == "wd-server"
    ]
    lines = [json.loads(text) for text in written if "Traceback" not in text]
    assert {"listening", "stream closed", "stopping", "stopped"} <= {
        line["event"] for line in lines
    }
    for line in lines:
        assert list(line)[:4] == ["timestamp", "level", "logger", "event"]


def test_the_verification_passes_with_a_key(deployment: Deployment) -> None:
    verified = deployment.machine.run(
        *("/srv/source/bin/verify_deployment.sh", "--no-integration", "--json"),
        env={"VERIFY_AUTH": "true", "TEST_API_KEY": deployment.key(), **AMPLE},
    )
    result = json.loads(verified.stdout)
    assert result["failed"] == 0
    assert result["passed"] >= 15


def _last(lines: list[dict[str, Any]], event: str) -> dict[str, Any]:
    return [line for line in lines if line["event"] == event][-1]


def test_every_line_of_the_checklist_holds(deployment: Deployment) -> None:
    page = (ROOT / "docs/checklist.md").read_text().partition("## From elsewhere")[0]
    lines = re.findall(r"^- \[ \] (.+?): `(.+)`$", page, re.MULTILINE)
    assert len(lines) == page.count("- [ ]") > 20
    env = {
        "SERVICE": "walletdoctor",
        "URL": "http://127.0.0.1:5000",
        "TEST_API_KEY": deployment.key(),
        **AMPLE,
    }
    failed = []
    for what, command in lines:
        script = f"cd /srv/1.1.0; {command}"
        done = deployment.machine.run("bash", "-c", script, env=env, check=False)
        if done.returncode:
            failed.append(f"{what}: {command}\n{done.stdout}{done.stderr}")
    assert not failed, "\n".join(failed)


class Following:
    """Clients of one instance that follow its wallets, and come back when they are sent away."""

    def __init__(
        self, deployment: Deployment, port: int, clients: int, process: subprocess.Popen[str]
    ) -> None:
        self._deployment = deployment
        self._port = port
        self._clients = clients
        self._process = process
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["open"] == clients

    def stop(self) -> None:
        """When all of them are back: nobody was refused, no trade was lost or came twice."""
        self._deployment.wait_for_streams(self._port, self._clients)
        self._process.send_signal(signal.SIGINT)
        out, errors = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0, errors + out
        report = json.loads(out)
        assert report["resumes"]["count"] >= self._clients
        assert report["resumes"]["given_up"] == 0
        assert "connection refused" not in report["refusals"]
        ids = report["ids"]
        assert (ids["lost"], ids["duplicates"], ids["resets"], ids["gaps"]) == (0, 0, 0, {})
        assert report["live"]["trades"] > 0


@contextmanager
def _following(deployment: Deployment, port: int, clients: int) -> Iterator[Following]:
    truth = deployment.machine.run(
        *("curl", "-sS", "-H", "Content-Type: application/json", SETTINGS["HELIUS_RPC_URL"]),
        *("-d", '{"jsonrpc":"2.0","id":1,"method":"simWallets","params":[]}'),
    )
    wallets = [each["address"] for each in json.loads(truth.stdout)["result"]]
    load = [
        sys.executable,
        ROOT / "bin/wd-load",
        f"http://127.0.0.1:{port}",
        "--json",
        "--announce",
    ]
    load += ["--streams", str(clients), "--follow", "--hold", str(HOLD_SECONDS)]
    load += [f"--wallet={wallet}" for wallet in wallets]
    process = subprocess.Popen(
        deployment.machine.client(*load),
        env={**os.environ, "WD_LOAD_KEYS": deployment.key()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Following(deployment, port, clients, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
