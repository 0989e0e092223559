"""What the scripts say and refuse before they do anything; deployments are in `test_systemd.py`."""

import os
import subprocess
from pathlib import Path

import pytest
from processes import ROOT

DEPLOY = ROOT / "bin/deploy.sh"
SECONDS = 60
# sysexits.h: wrong settings.
EXIT_CONFIG = 78
COMPLETE = {
    "ENV": "production",
    "HELIUS_KEY": "0123456789abcdef",
    "SECRET_KEY": "s" * 32,
    "REDIS_URL": "redis://127.0.0.1:6379",
}


def _deploy(root: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEPLOY, "--process", *arguments],
        env={"PATH": os.environ["PATH"], "DEPLOY_ROOT": str(root), **env},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("script", sorted((ROOT / "bin").glob("*.sh")), ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    checked = subprocess.run(
        ["shellcheck", script], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_one_process_and_one_of_several_differ_in_their_names_only() -> None:
    single, several = (
        [line for line in (ROOT / "conf" / name).read_text().splitlines() if line[:1] != "#"]
        for name in ("walletdoctor.service", "wd-server@.service")
    )
    assert [line.replace("walletdoctor.socket", "wd-server@%i.socket") for line in single] == [
        line.replace(" wd-server/%i", "").replace("/%i", "").replace(", port %i", "")
        for line in several
    ]


@pytest.mark.parametrize("script", ["deploy.sh", "verify_deployment.sh"])
def test_help_says_how_and_an_unknown_argument_is_refused(script: str) -> None:
    for argument, code in (("--help", 0), ("--what", 2)):
        done = subprocess.run(
            [ROOT / "bin" / script, argument], capture_output=True, text=True, timeout=SECONDS
        )
        assert done.returncode == code
        assert "--help" in done.stderr or "usage: bin/" in done.stdout


@pytest.mark.parametrize("ports", ["a", "5000,5001", "$(id)"])
def test_instances_are_ports(tmp_path: Path, ports: str) -> None:
    assert _deploy(tmp_path / "root", "--instances", ports, **COMPLETE).returncode == 2


def test_a_background_process_has_no_instances(tmp_path: Path) -> None:
    refused = _deploy(tmp_path / "root", "--instances", "5000 5001", **COMPLETE)
    assert refused.returncode == 1
    assert "needs systemd" in refused.stderr


@pytest.mark.parametrize("given", [{}, {"HELIUS_KEY": "0123456789abcdef"}, {"ENV": "production"}])
def test_everything_that_is_missing_is_named_at_once(tmp_path: Path, given: dict[str, str]) -> None:
    refused = _deploy(tmp_path / "root", **given)
    assert refused.returncode == EXIT_CONFIG
    missing = " ".join(name for name in COMPLETE if name not in given)
    assert f"deploy: missing: {missing}. " in refused.stderr
    assert not (tmp_path / "root").exists()


def test_in_development_only_that_has_to_be_said(tmp_path: Path) -> None:
    assert _deploy(tmp_path / "root", "--dry-run", ENV="development").returncode == 0
    assert not (tmp_path / "root").exists()


def test_what_the_settings_file_has_needs_no_export(tmp_path: Path) -> None:
    lines = [f"{name} = '{text}'" for name, text in COMPLETE.items()]
    (tmp_path / "env").write_text("\n".join(["# kept", "PORT=5999", *lines]))
    done = _deploy(tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:5999" in done.stdout


def test_wrong_values_are_all_named_and_secrets_are_not_repeated(tmp_path: Path) -> None:
    wrong = {**COMPLETE, "SECRET_KEY": "too-short-secret", "PORT": "many", "MAX_STREAMS": "0"}
    refused = _deploy(tmp_path / "root", "--dry-run", **wrong)
    assert refused.returncode == EXIT_CONFIG
    for name in ("SECRET_KEY", "PORT", "MAX_STREAMS"):
        assert name in refused.stderr
    assert "too-short-secret" not in refused.stdout + refused.stderr


def test_a_value_of_two_lines_is_refused(tmp_path: Path) -> None:
    sly = {**COMPLETE, "SECRET_KEY": "s" * 32 + "\nHOST=0.0.0.0"}
    refused = _deploy(tmp_path / "root", "--dry-run", **sly)
    assert refused.returncode == EXIT_CONFIG
    assert "SECRET_KEY has more than one line" in refused.stderr


def test_there_is_nothing_to_go_back_to_at_first(tmp_path: Path) -> None:
    refused = _deploy(tmp_path / "root", "--rollback", **COMPLETE)
    assert refused.returncode == 1
    assert "no release to go back to" in refused.stderr
