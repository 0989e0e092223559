"""What is watched: a real Prometheus scrapes real servers with the files of conf/, and every query
of the dashboard and every alert finds what it asks for."""

import ast
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from eventsource import EventSource
from processes import PATIENCE, ROOT, Server, Simulator, server, simulator
from program import running
from prometheus import CONF, Prometheus
from redis_server import redis_server

DASHBOARD = ROOT / "conf/grafana/wd-server.json"
RULES = (CONF / "wd-server.rules.yml").read_text()
ALERTS = re.findall(r"- alert: (\w+)", RULES)
MAX_STREAMS = 3
METRIC = re.compile(r"\b(?:walletdoctor|process)_\w+")


def panels() -> list[dict[str, Any]]:
    shown = json.loads(DASHBOARD.read_text())["panels"]
    return [each for each in shown if each["type"] != "row"]


QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in panels()
    for target in panel["targets"]
}
REDIS_QUERIES = {title: expr for title, expr in QUERIES.items() if "redis" in expr}


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", "--wallets=60x4") as started:
        yield started


@pytest.fixture(scope="module")
def srv(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    settings = {"MAX_STREAMS": MAX_STREAMS, "UPSTREAM_DAILY_CREDITS": 1_000_000}
    with server(folder, chain.url, **settings) as started:
        yield started


@pytest.fixture(scope="module")
def watched(
    chain: Simulator, srv: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """It has scraped a server before and after all that can happen to one."""
    with running(Prometheus(tmp_path_factory.mktemp("prometheus"), [srv.port])) as started:
        for wallet, _ in chain.wallets[:2]:
            live_through(srv, wallet)
            seen = srv.metrics()["total_streams"]
            started.wait_for(f"walletdoctor_total_streams >= {seen}")
        yield started


@pytest.fixture(scope="module")
def watched_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The same for a Redis that goes and comes back."""
    folder = tmp_path_factory.mktemp("served")
    with (
        redis_server() as redis,
        server(folder, None, REDIS_URL=redis.url.reveal(), SECRET_KEY="s" * 32) as srv,
        running(Prometheus(tmp_path_factory.mktemp("prometheus"), [srv.port])) as started,
    ):
        assert srv.get("/v4/streams", {"X-API-Key": srv.key()})["total"] == 0
        started.wait_for("up == 1")
        redis.stop()
        started.wait_for("walletdoctor_access_stale == 1")
        redis.start()
        started.wait_for("walletdoctor_access_stale == 0")
        yield started


def live_through(srv: Server, wallet: str) -> None:
    """Streams that open, complete, resume, leave, are one too many, and a key nobody knows."""
    with EventSource(srv.stream(wallet, "follow=true")) as stream:
        last = stream.until("complete")[-1].id
        assert last is not None
        first = f"{last.partition('-')[0]}-1"
        with EventSource(srv.stream(wallet), {"Last-Event-ID": first}) as resumed:
            resumed.until("complete")
        srv.wait_for("active_streams", 1)
        others = [EventSource(srv.stream(wallet, "follow=true")) for _ in range(MAX_STREAMS)]
        assert others[-1].status == 503
        for each in others:
            each.close()
    with pytest.raises(HTTPError):
        srv.get(f"/v4/wallet/{wallet}", {"X-API-Key": "wd_" + "x" * 32})


def finds(watching: Prometheus, query: str) -> bool:
    expr = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
    return any(not math.isnan(value) for _, value in watching.query(expr))


@pytest.mark.parametrize("title", [each for each in QUERIES if each not in REDIS_QUERIES])
def test_every_query_of_the_dashboard_finds_something(watched: Prometheus, title: str) -> None:
    assert finds(watched, QUERIES[title])


@pytest.mark.parametrize("title", REDIS_QUERIES)
def test_every_query_about_redis_finds_something(watched_redis: Prometheus, title: str) -> None:
    assert finds(watched_redis, QUERIES[title])


def test_the_dashboard_is_what_its_table_says() -> None:
    written = [sys.executable, str(ROOT / "conf/grafana/dashboard.py")]
    done = subprocess.run(written, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == DASHBOARD.read_text(), "run `make docs`"


def test_the_dashboards_panels_fill_the_grid_without_overlap() -> None:
    shown = json.loads(DASHBOARD.read_text())["panels"]
    cells = [
        (x, y)
        for place in (each["gridPos"] for each in shown)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({each["id"] for each in shown}) == len(shown)


def test_prometheus_finds_its_configuration_right() -> None:
    promtool("check", "config", "--lint=all", "--lint-fatal", "prometheus.yml")


def test_the_alerts_fire_and_dont_where_their_cases_say_so() -> None:
    promtool("test", "rules", "wd-server.test.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_cases_of_both_kinds_and_a_section_of_the_runbook(alert: str) -> None:
    cases = (CONF / "wd-server.test.yml").read_text()
    expected = re.findall(rf"- alertname: {alert}\n +eval_time: \w+\n +exp_alerts:(.*)\n", cases)
    assert set(expected) == {"", " []"}
    assert f"runbook_url: docs/runbooks.md#{alert.lower()}\n" in RULES
    runbook = (ROOT / "docs/runbooks.md").read_text()
    assert len(re.findall(rf"^### {alert}$", runbook, re.M)) == 1


def test_the_runbook_has_no_section_of_an_alert_that_is_gone() -> None:
    runbook = (ROOT / "docs/runbooks.md").read_text()
    assert re.findall(r"^### (\w+)$", runbook, re.M) == ALERTS


def test_alerts_ask_for_metrics_that_there_are(watched: Prometheus) -> None:
    for name in set(METRIC.findall(RULES)) - {"walletdoctor_redis_available"}:
        assert watched.query(name), name


def test_the_alert_about_redis_fires_while_it_is_away(watched_redis: Prometheus) -> None:
    fired = 'max_over_time(ALERTS{alertname="WdServerRedisAway", alertstate="firing"}[5m])'
    assert watched_redis.query(fired)


def test_the_real_rules_are_evaluated_without_an_error(watched: Prometheus) -> None:
    (group,) = watched.ask("rules")["groups"]
    assert [rule["name"] for rule in group["rules"]] == ALERTS
    assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}


def test_a_killed_server_is_an_alert(chain: Simulator, tmp_path: Path) -> None:
    with (
        server(tmp_path / "one", chain.url) as one,
        server(tmp_path / "two", chain.url) as two,
    ):
        (tmp_path / "prometheus").mkdir()
        with running(Prometheus(tmp_path / "prometheus", [one.port, two.port])) as watching:
            assert len(watching.wait_for('count(up{job="wd-server"} == 1) == 2')) == 1
            assert not watching.query('ALERTS{alertname="WdServerDown"}')
            two.kill()
            firing = 'ALERTS{alertname="WdServerDown", alertstate="firing"}'
            ((labels, _),) = watching.wait_for(firing)
            assert labels["instance"] == f"127.0.0.1:{two.port}"


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=CONF, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Characters from which on what is logged is a sentence to a person, and no event.
SENTENCE = 60
PAGE = (ROOT / "docs/observability.md").read_text()


def section(title: str) -> str:
    """Of the page on what there is to see: up to the next one of the same level."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_page_has_every_metric_and_no_other(watched: Prometheus) -> None:
    exposed = watched.ask("metadata").keys()
    rows = [line.split("|")[1] for line in section("Metrics").splitlines() if line[:3] == "| `"]
    described = {name for row in rows for name in re.findall(r"`(\w+)(?:{.*?})?`", row)}
    assert described == {name.removeprefix("walletdoctor_") for name in exposed}


def test_the_page_has_every_alert_in_order() -> None:
    assert re.findall(r"^\| `(WdServer\w+)`", PAGE, re.M) == ALERTS


def test_the_page_has_every_event_of_the_log_and_its_fields() -> None:
    lines = [line.split("|") for line in section("Logs").splitlines() if line.startswith("| ")]
    fields = set(re.findall(r"`(\w+)`", " ".join(line[1] for line in lines)))
    events = set(re.findall(r"`([^`]+)`", " ".join(" ".join(line[2:]) for line in lines)))
    for event, given in logged_in_the_code():
        assert event in events
        assert given <= fields, event


def logged_in_the_code() -> Iterator[tuple[str, set[str]]]:
    """Events of fixed words, each with its fields."""
    for path in [*ROOT.glob("wd_server/**/*.py"), *ROOT.glob("handlers/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="_log" | "log")) | ast.Name(id="write"),
                    args=[ast.Constant(value=str(event))],
                    keywords=keywords,
                ) if len(event) < SENTENCE:
                    given = {keyword.arg for keyword in keywords if keyword.arg}
                    yield event, given - {"exc_info"}


def test_the_dashboard_can_be_drawn(watched: Prometheus, tmp_path: Path) -> None:
    drawn = tmp_path / "dashboard.png"
    command = [sys.executable, str(ROOT / "conf/grafana/picture.py"), watched.url, "60", str(drawn)]
    subprocess.run(command, check=True, timeout=2 * PATIENCE)
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert drawn.stat().st_size > 50_000  # an empty page has a tenth of that
