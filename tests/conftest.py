"""What holds for every test: nothing is left out silently, and under CI=true nothing is skipped."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from redis_server import RedisCluster

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "recordings"
SAID = "recordings: {} is not there, so what reads real transactions is left out ({} tests)"

_left_out = pytest.StashKey[int]()


def _skips_fail() -> bool:
    return os.environ.get("CI", "").lower() == "true"


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real transactions, for tests marked `recordings`."""
    return RECORDINGS


@pytest.fixture(scope="session")
def _session_cluster() -> Iterator["RedisCluster"]:
    # Late, because test_conftest.py runs this file alone.
    from redis_server import redis_cluster

    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture
def empty_cluster(_session_cluster: "RedisCluster") -> "RedisCluster":
    """For tests that leave its servers alone: one takes seconds to start."""
    for primary in _session_cluster.primaries():
        primary.call("FLUSHALL")
    return _session_cluster


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[_left_out] = 0
    if RECORDINGS.is_dir():
        return
    marked = [item for item in items if item.get_closest_marker("recordings")]
    config.stash[_left_out] = len(marked)
    config.hook.pytest_deselected(items=marked)
    items[:] = [item for item in items if item not in marked]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Workers collect the tests, and the process that started them has the terminal."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_left_out, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Each worker collects all tests and so leaves out the same; a crashed one says nothing."""
    if hasattr(node, "workeroutput"):
        node.config.stash[_left_out] = node.workeroutput["left_out"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    count = config.stash.get(_left_out, 0)
    if count:
        terminalreporter.write_line(SAID.format("../shared/recordings", count))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _skips_fail():
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and _skips_fail():
        _refuse(report)
    return report


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """A skip becomes a failure that names the test and why it was skipped."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} was skipped ({reason}); under CI=true nothing is skipped."
