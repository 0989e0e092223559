"""Every endpoint as the public contract has it, with the headers and errors that all share."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsource import EventSource
from processes import Server, Simulator, server
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from wire import Answer, Connection, exchange

ORIGIN = "https://app.example"
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-xss-protection": "1; mode=block",
    "referrer-policy": "no-referrer",
}
# Names and types that stay, by contract.
METRICS = {
    "walletdoctor_active_streams": "gauge",
    "walletdoctor_total_streams": "counter",
    "walletdoctor_total_events": "counter",
    "walletdoctor_total_trades": "counter",
    "walletdoctor_error_rate": "gauge",
    "walletdoctor_bytes_sent": "counter",
}
# What else is to be measured, by the beginnings of the names in use.
ALSO_MEASURED = {
    "streams_closed": "counter",
    "stream_duration_seconds": "histogram",
    "time_to_first_event_seconds": "histogram",
    "publish_to_socket_seconds": "histogram",
    "backfill_duration_seconds": "histogram",
    "upstream_calls": "counter",
    "upstream_credits": "counter",
    "journal_append_seconds": "histogram",
    "journal_read_seconds": "histogram",
    "event_loop_lag_seconds": "histogram",
    "slow_demotions": "counter",
    "replayed_events": "counter",
    "resumes": "counter",
}
# Time series of one process: far below what a scrape takes, far above what is there.
MOST_SERIES = 500

PATHS = [
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/v4/wallet/{wallet}",
    "/v4/wallet/{wallet}/trades",
    "/v4/wallet/{wallet}/stream",
]
ERRORS = {
    "/nowhere": (404, "NOT_FOUND"),
    "/v4/wallet/x": (400, "INVALID_WALLET"),
    "/v4/wallet/{wallet}/trades?limit=0": (400, "INVALID_PARAMETER"),
    "/v4/wallet/{untouched}": (404, "UNKNOWN_WALLET"),
    "/v4/wallet/{untouched}/trades": (404, "UNKNOWN_WALLET"),
}


@pytest.fixture(scope="module")
def trades(served: Server, wallet: str) -> list[dict[str, Any]]:
    """The wallet is analysed; its trades as they were streamed."""
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream") as stream:
        events = stream.until("complete")
    return [event.data for event in events if event.name == "trade"]


@pytest.fixture(scope="module")
def ids(served: Server, wallet: str, trades: list[dict[str, Any]]) -> list[str]:
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream") as stream:
        return [event.id for event in stream if event.name == "trade" and event.id]


@pytest.fixture(scope="module")
def untouched(chain: Simulator) -> str:
    """A wallet that nobody streams."""
    return chain.wallets[-1][0]


def _metrics(served: Server) -> dict[str, Metric]:
    answer = exchange(served.url, "/metrics")
    assert answer.status == 200
    return {each.name: each for each in text_string_to_metric_families(answer.body.decode())}


def _page(served: Server, wallet: str, query: str = "") -> dict[str, Any]:
    page: dict[str, Any] = served.get(f"/v4/wallet/{wallet}/trades{query}")
    assert page.keys() >= {"trades", "next"}
    return page


# Home and health


def test_home_says_what_this_is_and_where_to_go_on(served: Server) -> None:
    home = served.get("/", {"Accept": "application/json"})
    assert home["name"] == "wd-server"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", home["version"])
    assert {"stream", "wallet", "trades", "health", "metrics"} <= home["links"].keys()
    assert exchange(served.url, home["links"]["health"]).status == 200


def test_health_has_every_key_of_the_contract(served: Server, trades: list[Any]) -> None:
    health = served.get("/health")
    assert health.keys() >= {
        "status",
        "version",
        "timestamp",
        "uptime",
        "streaming",
        "dependencies",
    }
    assert health["status"] == "healthy"
    assert isinstance(health["timestamp"], int)
    assert health["uptime"] > 0
    streaming = health["streaming"]
    assert streaming["active_streams"] == 0
    assert streaming["total_streams"] >= 1
    assert 0 <= streaming["error_rate"] <= 100
    assert health["dependencies"] == {"helius": "configured", "redis": "embedded"}


def test_health_counts_the_streams_that_are_open(served: Server, wallet: str) -> None:
    before = served.get("/health")["streaming"]
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream?follow=true") as stream:
        stream.until("connected")
        streaming = served.get("/health")["streaming"]
    assert streaming["active_streams"] == before["active_streams"] + 1
    assert streaming["total_streams"] == before["total_streams"] + 1


def test_liveness_and_readiness_are_said_apart(served: Server) -> None:
    assert served.get("/health/live") == {"status": "alive"}
    assert served.get("/health/ready") == {"status": "ready"}


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_is_never_cached(served: Server, path: str) -> None:
    assert exchange(served.url, path).headers["cache-control"] == "no-store"


# Metrics


def test_the_metrics_of_the_contract_have_their_exact_names_and_types(
    served: Server, trades: list[Any]
) -> None:
    text = exchange(served.url, "/metrics").body.decode()
    for name, kind in METRICS.items():
        assert f"\n# TYPE {name} {kind}\n" in f"\n{text}"
        assert re.search(rf"^{name} [0-9.e+]+$", text, re.MULTILINE), name
        assert f"{name}_total" not in text
        assert f"{name}_created" not in text


def test_the_metrics_are_prometheus_text(served: Server) -> None:
    answer = exchange(served.url, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = [each.name for each in text_string_to_metric_families(answer.body.decode())]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"(walletdoctor|process)_[a-z_]+", name) for name in names)


@pytest.mark.parametrize(("name", "kind"), ALSO_MEASURED.items())
def test_what_else_is_wanted_is_measured(
    served: Server, trades: list[Any], name: str, kind: str
) -> None:
    metric = _metrics(served)[f"walletdoctor_{name}"]
    assert metric.type == kind
    assert metric.documentation


def test_metrics_count_what_streams_were_sent(
    served: Server, wallet: str, trades: list[Any]
) -> None:
    before = _counted(served)
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream") as stream:
        events = list(stream)
    counted = _counted(served)
    assert counted["total_streams"] - before["total_streams"] == 1
    assert counted["total_events"] - before["total_events"] == len(events)
    assert counted["total_trades"] - before["total_trades"] == len(trades)
    assert counted["bytes_sent"] - before["bytes_sent"] > 500 * len(trades)


def _counted(served: Server) -> dict[str, float]:
    text = exchange(served.url, "/metrics").body.decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^walletdoctor_(\w+) ([0-9.e+]+)$", text, re.MULTILINE)
    }


def test_no_metric_grows_with_wallets_or_streams(
    served: Server, wallet: str, empty_wallet: str, trades: list[Any]
) -> None:
    def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        samples = (sample for metric in _metrics(served).values() for sample in metric.samples)
        return {(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples}

    with EventSource(f"{served.url}/v4/wallet/{empty_wallet}/stream") as stream:
        list(stream)
    once = series()
    for number in range(5):
        with EventSource(f"{served.url}/v4/wallet/{'1' * 31}{number + 2}/stream") as stream:
            opened = stream.until("complete")[0].data
    text = exchange(served.url, "/metrics").body.decode()
    assert series() == once
    assert len(once) < MOST_SERIES
    assert not [each for each in (wallet, empty_wallet, opened["stream_id"]) if each in text]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Behind a proxy, with two networks that may read its metrics and a token."""
    settings = {
        "METRICS_ALLOW": "192.0.2.0/24,2001:db8::/32",
        "METRICS_TOKEN": "m" * 32,
        "TRUSTED_PROXIES": "127.0.0.3",
    }
    with server(tmp_path_factory.mktemp("watched"), None, **settings) as started:
        yield started


@pytest.mark.parametrize(
    ("source", "headers", "status"),
    [
        ("127.0.0.1", [], 200),
        ("127.0.0.1", [("X-Forwarded-For", "127.0.0.1")], 403),
        ("127.0.0.1", [("X-Forwarded-For", "192.0.2.1")], 403),
        ("127.0.0.1", [("Forwarded", "for=192.0.2.1")], 403),
        ("127.0.0.3", [("X-Forwarded-For", "192.0.2.1")], 200),
        ("127.0.0.3", [("X-Forwarded-For", "2001:db8::1")], 200),
        ("127.0.0.3", [("X-Forwarded-For", "2001:db9::1")], 403),
        ("127.0.0.3", [("X-Forwarded-For", "127.0.0.1")], 200),
        ("127.0.0.3", [("X-Forwarded-For", "192.0.2.1, 198.51.100.1")], 403),
        (
            "127.0.0.1",
            [("X-Forwarded-For", "1.2.3.4"), ("Authorization", "Bearer " + "m" * 32)],
            200,
        ),
        (
            "127.0.0.1",
            [("X-Forwarded-For", "1.2.3.4"), ("Authorization", "Bearer " + "m" * 31)],
            403,
        ),
        ("127.0.0.1", [("X-Real-IP", "1.2.3.4")], 403),
        ("127.0.0.1", [("X-Forwarded-Proto", "https")], 403),
        ("127.0.0.3", [("X-Real-IP", "1.2.3.4"), ("X-Forwarded-For", "127.0.0.1")], 200),
        ("127.0.0.3", [("X-Real-IP", "127.0.0.1")], 403),
        (
            "127.0.0.1",
            [("X-Forwarded-For", "1.2.3.4"), ("Authorization", "Basic " + "m" * 32)],
            403,
        ),
    ],
)
def test_the_metrics_are_for_near_networks_or_who_has_the_token(
    watched: Server, source: str, headers: list[tuple[str, str]], status: int
) -> None:
    with Connection(watched.url, source=source) as connection:
        connection.request("GET", "/metrics", headers)
        answer = connection.answer()
    assert answer.status == status
    if status == 403:
        assert "METRICS_ALLOW" in answer.problem()["detail"]
        assert b"walletdoctor" not in answer.body


# A wallet as JSON


def test_a_wallet_that_was_never_analysed_is_unknown(served: Server, untouched: str) -> None:
    for resource in ("", "/trades"):
        answer = exchange(served.url, f"/v4/wallet/{untouched}{resource}")
        assert (answer.status, answer.problem()["code"]) == (404, "UNKNOWN_WALLET")
        assert "stream" in answer.problem()["detail"]


def test_an_analysed_wallet_has_summary_and_positions(
    served: Server, wallet: str, trades: list[dict[str, Any]]
) -> None:
    answer = exchange(served.url, f"/v4/wallet/{wallet}")
    assert answer.status == 200
    report = answer.json()
    assert (report["wallet"], report["status"], report["truncated"]) == (wallet, "complete", False)
    assert report["summary"]["trades"] == len(trades)
    assert report["summary"]["open_positions"] == len(report["positions"]) > 0
    for position in report["positions"]:
        assert position["held"] == (int(position["amount_raw"]) > 0)
        assert position["held"] or position["in_custody"]


def test_a_wallet_being_analysed_is_202_with_its_progress(chain: Simulator, tmp_path: Path) -> None:
    wallet = chain.wallet(120)
    chain.call("simFault", {"kind": "429", "seconds": 60, "retry_after": 5})
    try:
        with (
            server(tmp_path, chain.url) as busy,
            EventSource(f"{busy.url}/v4/wallet/{wallet}/stream") as stream,
        ):
            stream.until("progress")
            answer = exchange(busy.url, f"/v4/wallet/{wallet}")
            early = exchange(busy.url, f"/v4/wallet/{wallet}/trades")
    finally:
        chain.call("simReset")
    assert answer.status == 202
    assert answer.json()["status"] == "running"
    progress = answer.json()["progress"]
    assert 0 <= progress["percentage"] < 100
    assert progress["step"] in ("initializing", "fetching_signatures")
    assert early.json()["trades"] == []


# Pages of trades


@pytest.mark.parametrize("limit", [1, 7, 40, 1000])
def test_all_pages_together_are_the_streamed_trades(
    served: Server, wallet: str, trades: list[dict[str, Any]], limit: int
) -> None:
    page = _page(served, wallet, f"?limit={limit}")
    collected = page["trades"]
    while page["next"] is not None:
        assert len(page["trades"]) == limit
        page = _page(served, wallet, f"?limit={limit}&after={page['next']}")
        collected += page["trades"]
    assert collected == trades


def test_a_page_goes_on_after_the_id_of_any_streamed_event(
    served: Server, wallet: str, trades: list[dict[str, Any]], ids: list[str]
) -> None:
    for index in (0, len(ids) // 2, len(ids) - 1):
        page = _page(served, wallet, f"?limit=3&after={ids[index]}")
        assert page["trades"] == trades[index + 1 : index + 4]


def test_after_the_last_event_there_is_an_empty_page(served: Server, wallet: str) -> None:
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream") as stream:
        last = stream.until("complete")[-1].id
    page = _page(served, wallet, f"?after={last}")
    assert (page["trades"], page["next"]) == ([], None)


def test_a_page_without_a_limit_is_bounded(
    served: Server, wallet: str, trades: list[dict[str, Any]]
) -> None:
    page = _page(served, wallet)
    assert page["trades"] == trades[: len(page["trades"])]
    assert 1 <= len(page["trades"]) <= 1000


@pytest.mark.parametrize("shift", [(-1, 0), (1, 0), (0, 100_000)])
def test_a_position_that_is_not_stored_is_gone(
    served: Server, wallet: str, ids: list[str], shift: tuple[int, int]
) -> None:
    epoch, _, seq = ids[0].partition("-")
    after = f"{int(epoch) + shift[0]}-{int(seq) + shift[1]}"
    answer = exchange(served.url, f"/v4/wallet/{wallet}/trades?after={after}")
    assert answer.status == 410
    assert "without" in answer.problem()["detail"]


# Streams


def _stream(served: Server, wallet: str, version: str = "1.1", **headers: str) -> Answer:
    lines = [f"GET /v4/wallet/{wallet}/stream HTTP/{version}", "Host: x"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    with Connection(served.url) as connection:
        connection.send("\r\n".join([*lines, "", ""]).encode())
        return connection.answer()


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_a_stream_is_chunked_for_those_who_know_chunks_and_ends_with_the_connection_for_others(
    served: Server, wallet: str, trades: list[Any], coding: str
) -> None:
    new, old = (_stream(served, wallet, each, Accept_Encoding=coding) for each in ("1.1", "1.0"))
    assert new.headers["transfer-encoding"] == "chunked"
    assert "transfer-encoding" not in old.headers
    assert "content-length" not in (new.headers | old.headers)
    assert new.headers["connection"] == old.headers["connection"] == "close"
    bodies = [answer.body for answer in (new, old)]
    if coding == "gzip":
        assert new.headers["content-encoding"] == old.headers["content-encoding"] == "gzip"
        bodies = [gzip.decompress(body) for body in bodies]
    found = [[each for each in body.split(b"\n\n") if b"\nid: " in each] for body in bodies]
    assert found[0] == found[1]
    assert len(found[0]) > len(trades)


def test_what_a_stream_counts_as_sent_is_what_went_over_the_wire(
    served: Server, wallet: str
) -> None:
    with Connection(served.url) as connection:
        connection.request("GET", f"/v4/wallet/{wallet}/stream")
        answered = connection.ended()
    stream_id = re.search(rb"X-Stream-ID: (\S+)", answered)
    assert stream_id is not None
    (line,) = [
        line
        for line in served.logged("stream closed")
        if line["stream_id"] == stream_id[1].decode()
    ]
    assert line["bytes"] == len(answered)


def test_nothing_on_the_way_may_keep_or_change_a_stream(served: Server, wallet: str) -> None:
    target = f"/v4/wallet/{wallet}/stream"
    for path, method in ((target, "GET"), (target, "HEAD"), ("/v4/wallet/x/stream", "GET")):
        answer = exchange(served.url, path, method=method)
        assert answer.media_type == "text/event-stream"
        assert answer.headers["cache-control"] == "no-cache, no-transform"


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_the_answer_to_head_of_a_stream_is_its_head(
    served: Server, wallet: str, version: str
) -> None:
    with Connection(served.url) as connection:
        target = f"/v4/wallet/{wallet}/stream"
        connection.send(
            f"HEAD {target} HTTP/{version}\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = connection.ended().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""


# What every answer has in common


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_like_get_without_a_body(
    served: Server, wallet: str, trades: list[Any], path: str
) -> None:
    target = path.format(wallet=wallet)
    head = exchange(served.url, target, method="HEAD")
    got = exchange(served.url, target)
    assert head.status == got.status == 200
    for name in (*SECURITY_HEADERS, "content-type", "content-security-policy", "server"):
        assert head.headers[name] == got.headers[name]
    if not path.endswith("/stream"):
        assert head.headers.keys() == got.headers.keys()


@pytest.mark.parametrize("path", ERRORS)
def test_head_of_what_fails_has_the_status_of_get(
    served: Server, wallet: str, untouched: str, path: str
) -> None:
    target = path.format(wallet=wallet, untouched=untouched)
    assert exchange(served.url, target, method="HEAD").status == ERRORS[path][0]


@pytest.mark.parametrize("path", ERRORS)
def test_errors_are_problem_json(served: Server, wallet: str, untouched: str, path: str) -> None:
    answer = exchange(served.url, path.format(wallet=wallet, untouched=untouched))
    problem = answer.problem()
    assert (answer.status, problem["code"]) == ERRORS[path]
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"].endswith(".")


def test_a_method_that_is_not_allowed_is_said_with_those_that_are(served: Server) -> None:
    for path in ("/", "/health", "/metrics"):
        answer = exchange(served.url, path, method="POST")
        assert (answer.status, answer.problem()["code"]) == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
@pytest.mark.parametrize("path", [*PATHS, *ERRORS])
def test_the_security_headers_are_on_every_answer(
    served: Server, wallet: str, untouched: str, path: str, method: str
) -> None:
    target = path.format(wallet=wallet, untouched=untouched)
    _assert_secure(exchange(served.url, target, method=method))


def test_the_security_headers_are_on_error_streams_and_204(
    served: Server, wallet: str, trades: list[Any]
) -> None:
    malformed = exchange(served.url, "/v4/wallet/x/stream")
    assert malformed.media_type == "text/event-stream"
    _assert_secure(malformed)
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream") as stream:
        last = stream.until("complete")[-1].id
    finished = exchange(served.url, f"/v4/wallet/{wallet}/stream?last_event_id={last}")
    assert finished.status == 204
    _assert_secure(finished)


def _assert_secure(answer: Answer) -> None:
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["content-security-policy"]
    assert "tornado" not in answer.headers["server"].lower()
    assert answer.headers["date"]


# Other origins


@pytest.mark.parametrize("path", [*PATHS, "/nowhere", "/v4/wallet/x/stream"])
def test_an_allowed_origin_may_read_the_answer(served: Server, wallet: str, path: str) -> None:
    answer = exchange(served.url, path.format(wallet=wallet), headers=[("Origin", ORIGIN)])
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in answer.headers["vary"]
    assert "X-Stream-ID" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://app.example.evil.example", "*", ""]
)
def test_no_other_origin_may(served: Server, wallet: str, origin: str) -> None:
    for path in ("/health", f"/v4/wallet/{wallet}/stream"):
        answer = exchange(served.url, path, headers=[("Origin", origin)])
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers["vary"]


METHODS = {
    "/": "GET, HEAD",
    "/v4/wallet/{wallet}": "GET, HEAD",
    "/v4/wallet/{wallet}/stream": "GET, HEAD",
    "/v4/streams": "GET, HEAD",
    "/v4/streams/{wallet}": "DELETE",
    "/v4/auth/token": "POST",
}


def _preflight(served: Server, path: str, origin: str) -> Answer:
    headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "authorization,last-event-id"),
    ]
    return exchange(served.url, path, method="OPTIONS", headers=headers)


@pytest.mark.parametrize("path", METHODS)
def test_a_preflight_allows_what_the_path_takes_and_the_headers_of_a_client(
    served: Server, wallet: str, path: str
) -> None:
    answer = _preflight(served, path.format(wallet=wallet), ORIGIN)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == METHODS[path]
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "Origin" in answer.headers["vary"]
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "x-api-key", "last-event-id"} <= set(allowed)
    # Sent by EventSource polyfills over XMLHttpRequest.
    assert {"cache-control", "x-requested-with"} <= set(allowed)


def test_a_preflight_allows_nothing_to_other_origins(served: Server, wallet: str) -> None:
    answer = _preflight(served, f"/v4/wallet/{wallet}/stream", "https://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", METHODS)
def test_a_method_that_a_path_does_not_take_is_said_with_those_it_does(
    served: Server, wallet: str, path: str
) -> None:
    answer = exchange(served.url, path.format(wallet=wallet), method="PUT")
    assert (answer.status, answer.problem()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == f"{METHODS[path]}, OPTIONS"


def test_cookies_and_the_like_are_never_asked_of_other_origins(served: Server, wallet: str) -> None:
    for path in ("/health", f"/v4/wallet/{wallet}/stream"):
        answer = exchange(served.url, path, headers=[("Origin", ORIGIN)])
        assert "access-control-allow-credentials" not in answer.headers
        assert "*" not in answer.headers["access-control-allow-origin"]


# Other settings


def test_without_allowed_origins_nobody_else_may_read(chain: Simulator, tmp_path: Path) -> None:
    with server(tmp_path, chain.url) as plain:
        answer = exchange(plain.url, "/health", headers=[("Origin", ORIGIN)])
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.fixture
def switched_off(chain: Simulator, tmp_path: Path) -> Iterator[Server]:
    with server(tmp_path, chain.url, STREAMING_ENABLED="false") as started:
        yield started


def test_with_streaming_switched_off_everything_else_is_served(
    switched_off: Server, wallet: str
) -> None:
    path = f"/v4/wallet/{wallet}/stream"
    refused = exchange(switched_off.url, path)
    assert (refused.status, refused.problem()["code"]) == (503, "AT_CAPACITY")
    assert "switched off" in refused.problem()["detail"]
    as_event = exchange(switched_off.url, f"{path}?errors=event")
    assert (as_event.status, as_event.media_type) == (200, "text/event-stream")
    assert as_event.body.startswith(b"retry: ")
    assert b'"code":"AT_CAPACITY"' in as_event.body
    assert switched_off.get("/health")["streaming"]["total_streams"] == 0
    for other in ("/", "/health", "/health/live", "/metrics"):
        assert exchange(switched_off.url, other).status == 200


def test_beyond_max_streams_one_is_told_when_to_come_back(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, MAX_STREAMS=1) as small:
        path = f"/v4/wallet/{wallet}/stream"
        with EventSource(f"{small.url}{path}?follow=true") as stream:
            stream.until("connected")
            refused = exchange(small.url, path)
            as_event = exchange(small.url, f"{path}?errors=event")
            ready = exchange(small.url, "/health/ready")
            healthy = exchange(small.url, "/health")
    assert (refused.status, refused.problem()["code"]) == (503, "AT_CAPACITY")
    assert int(refused.headers["retry-after"]) > 0
    assert (as_event.status, as_event.media_type) == (200, "text/event-stream")
    assert b'"code":"AT_CAPACITY"' in as_event.body
    assert b'"retry_after":' in as_event.body
    assert ready.status == 503
    assert healthy.status == 200


def test_without_an_upstream_a_stream_says_what_the_operator_has_to_do(
    wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, None) as alone:
        health = alone.get("/health")
        with EventSource(f"{alone.url}/v4/wallet/{wallet}/stream") as stream:
            last = list(stream)[-1]
        log = alone.log.read_text()
    assert health["status"] == "degraded"
    assert health["dependencies"]["helius"] == "missing"
    assert last.name == "error"
    assert last.data["code"].startswith("UPSTREAM_")
    assert "HELIUS_KEY" in last.data["error"]
    assert "--demo" in last.data["error"]
    assert "Traceback" not in log
