"""What a scrape shows, read back with the client library's own parser."""

import asyncio
import os
import subprocess
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from psutil import Process

from wd_server import __version__
from wd_server.app import App
from wd_server.config.settings import Settings
from wd_server.histogram import Histogram
from wd_server.metrics import exposition
from wd_server.redis.backend import RedisBackend

CONTRACT = {
    "active_streams": "gauge",
    "total_streams": "counter",
    "total_events": "counter",
    "total_trades": "counter",
    "error_rate": "gauge",
    "bytes_sent": "counter",
}


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(Settings.from_environment({}, data_dir=tmp_path))


def families(app: App) -> dict[str, Metric]:
    text = exposition(app._measured).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_the_contracts_names_and_types_stand_exactly_so(app: App) -> None:
    text = exposition(app._measured).decode()
    for name, kind in CONTRACT.items():
        assert f"# TYPE walletdoctor_{name} {kind}\n" in text
        assert f"\nwalletdoctor_{name} " in text


def test_counts_are_those_of_the_rooms(app: App) -> None:
    counts = app.registry.counts
    counts.total, counts.errored, counts.demotions = 8, 1, 21
    counts.closed["slow"] += 2
    counts.first_event_seconds.observe(0.003)
    shown = families(app)
    assert shown["walletdoctor_error_rate"].samples[0].value == 12.5
    assert shown["walletdoctor_slow_demotions"].samples[0].value == 21
    (closed,) = shown["walletdoctor_streams_closed"].samples
    assert (closed.labels, closed.value) == ({"reason": "slow"}, 2)
    buckets = {
        sample.labels["le"]: sample.value
        for sample in shown["walletdoctor_time_to_first_event_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert (buckets["0.002"], buckets["0.005"], buckets["+Inf"]) == (0, 1, 1)


def test_what_an_upstream_said_and_cannot_be_is_counted_by_kind(app: App) -> None:
    app._measured.upstream.history._unlisted = 3
    app._measured.upstream.assets._unread = 2
    samples = families(app)["walletdoctor_upstream_refused"].samples
    assert {sample.labels["kind"]: sample.value for sample in samples} == {
        "asset": 2,
        "price": 0,
        "signature": 3,
    }


def test_only_endless_tasks_can_be_failing(app: App) -> None:
    async def fail() -> None:
        raise KeyError

    async def life() -> None:
        tasks = app._tasks
        tasks.keep("reader", fail)
        await tasks.spawn("analysis", fail())
        shown = families(app)
        failures = {each.labels["task"] for each in shown["walletdoctor_task_failures"].samples}
        assert failures == {"reader", "analysis"}
        (failing,) = shown["walletdoctor_task_failing"].samples
        assert (failing.labels, failing.value) == ({"task": "reader"}, 1)
        await tasks.close()

    asyncio.run(life())


def test_callers_are_counted_by_code_and_reason_and_by_nobody_s_name(app: App) -> None:
    authenticator = app.authenticator.statistics()
    authenticator.checks = 5
    authenticator.refused["INVALID_KEY"] += 3
    authenticator.ended["revoked"] += 2
    shown = families(app)
    assert shown["walletdoctor_access_checks"].samples[0].value == 5
    (refused,) = shown["walletdoctor_access_refused"].samples
    assert (refused.labels, refused.value) == ({"code": "INVALID_KEY"}, 3)
    (ended,) = shown["walletdoctor_access_ended"].samples
    assert (ended.labels, ended.value) == ({"reason": "revoked"}, 2)
    assert shown["walletdoctor_access_stale"].samples[0].value == 1  # not opened yet


def test_redis_is_shown_where_there_is_one(app: App, tmp_path: Path) -> None:
    assert not [name for name in families(app) if "redis" in name]
    url = "redis://:hunter2hunter2@redis.internal"
    with_redis = App(Settings.from_environment({"REDIS_URL": url}, data_dir=tmp_path))
    assert isinstance(with_redis.backend, RedisBackend)
    calls = with_redis.backend.link.statistics()
    calls.calls, calls.batches, calls.again, calls.connections = 9, 4, 2, 1
    calls.failures["away"] += 3
    calls.call_seconds.observe(0.003)
    shown = families(with_redis)

    def value(name: str) -> float:
        return shown[f"walletdoctor_redis_{name}"].samples[0].value

    counted = [value(name) for name in ("calls", "batches", "retries", "connections")]
    assert counted == [9, 4, 2, 1]
    assert (value("available"), value("calls_waiting")) == (1, 0)
    failures = {s.labels["kind"]: s.value for s in shown["walletdoctor_redis_failures"].samples}
    assert failures == {"away": 3, "full": 0, "refused": 0}
    text = exposition(with_redis._measured)
    assert b"hunter2" not in text
    assert b"redis.internal" not in text
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    assert b"redis" not in checked.stdout + checked.stderr


def test_the_process_is_shown_as_the_kernel_sees_it(app: App) -> None:
    shown = {
        sample.name: sample.value for each in families(app).values() for sample in each.samples
    }
    used = os.times()
    rounding = 0.02  # two ticks
    assert 0 < shown["process_cpu_seconds_total"] <= used.user + used.system + rounding
    assert shown["process_start_time_seconds"] == pytest.approx(Process().create_time(), abs=1)
    assert shown["process_resident_memory_bytes"] > 10_000_000
    assert shown["process_max_fds"] == getrlimit(RLIMIT_NOFILE)[0]
    assert shown["walletdoctor_streams_limit"] == app.registry.limits.max_streams
    (build,) = families(app)["walletdoctor_build_info"].samples
    assert build.labels == {"version": __version__}


def test_an_observation_on_a_bound_counts_below_it() -> None:
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 1]
    assert histogram.total == 8
