"""What the scripts say and refuse before they do anything; deployments are in `test_systemd.py`."""

import os
import subprocess
from pathlib import Path

import pytest
from deployment import Checkout
from processes import ROOT

DEPLOY = ROOT / "bin/deploy.sh"
CI_SCRIPTS = ("debian", "lock", "run", "venv")
SECONDS = 60
# sysexits.h: wrong settings.
EXIT_CONFIG = 78
COMPLETE = {
    "ENV": "production",
    "HELIUS_KEY": "0123456789abcdef",
    "SECRET_KEY": "s" * 32,
    "REDIS_URL": "redis://127.0.0.1:6379",
}


def _deploy(
    root: Path, *arguments: str, script: Path = DEPLOY, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, "--process", *arguments],
        env={"PATH": os.environ["PATH"], "DEPLOY_ROOT": str(root), **env},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


SCRIPTS = [*sorted((ROOT / "bin").glob("*.sh")), *(ROOT / ".ci" / n for n in CI_SCRIPTS)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
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


@pytest.mark.parametrize("ports", ["a", "5000,5001", "$(id)", "0", "05000", "65536"])
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


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DRAIN_SECONDS", "arguments[$(touch {})]"),
        ("DRAIN_SECONDS", "`touch {}`"),
        ("PORT", "arguments[$(touch {})]"),
        ("HOST", "127.0.0.1#; s#.*#touch {}#e; #"),
        ("DATA_DIR", "$(touch {})"),
        ("REDIS_URL", "$(touch {})"),
    ],
)
def test_nothing_of_a_value_is_run_or_calculated(tmp_path: Path, name: str, text: str) -> None:
    """By a dry run, of a file that the service's user may have written."""
    root, owned = tmp_path / "root", tmp_path / "owned"
    root.mkdir()
    lines = {**COMPLETE, name: text.format(owned)}
    (root / "env").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    refused = _deploy(root, "--dry-run")
    assert not owned.exists()
    assert (refused.returncode, name in refused.stderr) == (EXIT_CONFIG, True), refused.stderr
    assert [path.name for path in root.iterdir()] == ["env"]


@pytest.mark.parametrize(
    "seconds", ["-1", "08x", "1e3", "0x10", "２０", "9" * 20, "601", "'20", "a b"]
)
def test_a_number_that_is_none_is_named(tmp_path: Path, seconds: str) -> None:
    refused = _deploy(tmp_path / "root", "--dry-run", **COMPLETE, DRAIN_SECONDS=seconds)
    assert refused.returncode == EXIT_CONFIG
    assert "DRAIN_SECONDS" in refused.stderr
    assert "These settings are wrong" in refused.stderr


@pytest.mark.parametrize("seconds", ["08", " 20 ", '"20"', "007"])
def test_a_number_is_decimal(tmp_path: Path, seconds: str) -> None:
    (tmp_path / "env").write_text(f"DRAIN_SECONDS={seconds}\n")
    done = _deploy(tmp_path, "--dry-run", **COMPLETE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("folder", ["data", "../data", "$(id)"])
def test_a_background_process_has_an_absolute_folder(tmp_path: Path, folder: str) -> None:
    refused = _deploy(tmp_path / "root", "--dry-run", **COMPLETE, DATA_DIR=folder)
    assert refused.returncode == EXIT_CONFIG
    assert f"DATA_DIR is {folder}: " in refused.stderr


def test_a_file_in_place_of_its_folder_is_refused(tmp_path: Path) -> None:
    for name in ("file", "file\x1b]0;x\x07"):
        (tmp_path / name).write_text("kept")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("file", "nowhere", "file\x1b]0;x\x07"):
        folder = str(tmp_path / name)
        refused = _deploy(tmp_path / "root", "--dry-run", **COMPLETE, DATA_DIR=folder)
        assert refused.returncode == EXIT_CONFIG
        seen = folder.replace("\x1b", "").replace("\x07", "")  # no terminal obeys it
        assert f"DATA_DIR is {seen}, which isn't a folder of " in refused.stderr


@pytest.mark.parametrize("seconds", ["x[$(touch owned)]", "08", "", "-1", "12345"])
def test_time_to_get_healthy_is_a_number(tmp_path: Path, seconds: str) -> None:
    done = _deploy(tmp_path / "root", "--dry-run", **COMPLETE, HEALTH_SECONDS=seconds)
    assert done.returncode == (2 if seconds else 0)


@pytest.mark.parametrize("root", ["/srv/a#b", "/srv/a b", "/srv/$(id)", "/srv/a&"])
def test_the_place_has_a_plain_name(root: str) -> None:
    refused = _deploy(Path(root), "--dry-run", **COMPLETE)
    assert refused.returncode == 1
    assert "DEPLOY_ROOT is an absolute path of letters" in refused.stderr


@pytest.mark.parametrize("number", ["x[$(touch owned)]", "08", "1.5", "-1"])
def test_what_a_verification_counts_is_a_number(tmp_path: Path, number: str) -> None:
    for name in ("TRIES", "HEALTH_MS", "METRICS_MS", "FIRST_EVENT_MS"):
        refused = subprocess.run(
            [ROOT / "bin/verify_deployment.sh", "--no-integration"],
            env={"PATH": os.environ["PATH"], name: number},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (refused.returncode, refused.stdout) == (2, "")
        assert name in refused.stderr
    assert not list(tmp_path.iterdir())


def test_there_is_nothing_to_go_back_to_at_first(tmp_path: Path) -> None:
    refused = _deploy(tmp_path / "root", "--rollback", **COMPLETE)
    assert refused.returncode == 1
    assert "no release to go back to" in refused.stderr


def test_what_pip_and_tests_leave_in_a_checkout_is_no_part_of_a_release(
    checkout: Checkout, tmp_path: Path
) -> None:
    folder = checkout("1.0.0")

    def plan() -> str:
        script = folder / "bin/deploy.sh"
        done = _deploy(tmp_path / "root", "--dry-run", script=script, ENV="development")
        assert "Release 1.0.0-" in done.stdout, done.stderr
        return done.stdout

    before = plan()
    for made in ("wd_client.egg-info", "build/lib", ".pytest_cache"):
        (folder / "clients/python" / made).mkdir(parents=True, exist_ok=True)
        (folder / "clients/python" / made / "left").touch()
    assert plan() == before
    (folder / "clients/python/wd_client/version.py").write_text('__version__ = "1"')
    assert plan() != before
