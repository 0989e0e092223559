"""What a hostile or broken client may send. Each request gets a clear answer or, where no answer
can be given, a closed connection; `_unharmed` looks at the log and the health after each."""

import re
from urllib.parse import urlencode

import pytest
from eventsource import Event, EventSource, read_event
from processes import Server
from wire import Answer, Connection, exchange

from handlers.parameters import ALIASES

JSON = ("Accept", "application/json")
EVENTS = ("Accept", "text/event-stream")

# Bytes: a head may have 16 KB.
LARGE, MUCH_TOO_LARGE = 64 * 1024, 300 * 1024

BAD_WALLETS = {
    "one character": "x",
    "31 bytes": "1" * 31,
    "33 bytes": "1" * 33,
    "33 bytes in 44 characters": "z" * 44,
    "0 isn't base58": "0" * 43,
    "O isn't base58": "O" * 43,
    "I isn't base58": "I" * 43,
    "l isn't base58": "l" * 43,
    "too long": "1" * 45,
    "NUL": "%00" * 43,
    "CR LF": "%0d%0aX-Evil:%20yes",
    "path traversal": "..%2f..%2f..%2fetc%2fpasswd",
    "a slash within": "9MCxwMs5tvjAfYYU%2FfvzT7pXvFWQ1EsCzRxPBQvgi2s7",
    "a space at the end": "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7%20",
    "not UTF-8": "%ff" * 43,
    "full-width digits": "%EF%BC%91" * 32,
    "markup": "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "broken percent-encoding": "%zz%" + "1" * 30,
    "very long": "1" * 10_000,
}

BAD_PARAMETERS = [
    "batch=0",
    "batch=501",
    "batch=-1",
    "batch=",
    "batch=1e2",
    "batch=1.0",
    "batch=+1",
    "batch=%201",
    "batch=%D9%A3",  # 3, in Arabic digits
    "batch=" + "9" * 5000,
    "batch=5&batch=0",
    "batch=%zz",
    "batch=%ff",
    "batch=1%00",
    "last_event_id=abc",
    "last_event_id=1",
    "last_event_id=1-",
    "last_event_id=-1",
    "last_event_id=1-2-3",
    "last_event_id=1.5-2",
    "last_event_id=99999999999999999999-1",
    "last_event_id=%0a",
    "last_event_id=" + "9" * 5000 + "-1",
    "heartbeat=4",
    "heartbeat=21",
    "heartbeat=",
    "heartbeat=15s",
    "follow=maybe",
    "follow=",
    "side=hold",
    "side=BUY%00",
    "min_usd=NaN",
    "min_usd=Infinity",
    "min_usd=-1",
    "min_usd=1e999999999",
    "min_usd=x",
    "mint=x",
    "mint=" + "0" * 44,
    "since=yesterday",
    "since=-1",
    "since=1788220800000",  # milliseconds
    "skip_pricing=2",
    "errors=loud",
]

BAD_PAGES = [
    "limit=0",
    "limit=1001",
    "limit=-5",
    "limit=x",
    "limit=",
    "after=abc",
    "after=5",
    "after=1-x",
]

NOT_HTTP = {
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n\r\n",
    "HTTP/2.0": b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a Host with a space": b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n",
    "NUL in the path": b"GET /hea\0lth HTTP/1.1\r\nHost: x\r\n\r\n",
    "a space in the path": b"GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n",
    "CR in the path": b"GET /hea\rlth HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in a header": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "CR in a header": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost: x\r\nX : a\r\n\r\n",
    "a method that is no token": b"G@T /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "a negative length": b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
    "a length that is no number": b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "two lengths": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"
    ),
    "a length and chunks": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "a chunk of no length": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"
    ),
    "an unknown coding": (
        b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    ),
    "lines that end in LF": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a field that ends in LF": b"GET /health HTTP/1.1\r\nHost: x\nX: a\r\n\r\n",
    "a port of thousands of digits": (
        b"GET /health HTTP/1.1\r\nHost: x:" + b"9" * 5000 + b"\r\n\r\n"
    ),
    "a path beyond ASCII": b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
}


def _assert_error_event(answer: Answer, code: str) -> None:
    """A stream of one `error` event, and when to come back at the earliest."""
    assert answer.status == 200
    assert answer.media_type == "text/event-stream"
    block = re.fullmatch(rb"retry: (\d+)\nevent: error\ndata: (.+)\n\n", answer.body)
    assert block is not None, answer.body
    assert b'"code":"%b"' % code.encode() in block[2]


def _assert_problem(answer: Answer, status: int, code: str) -> None:
    problem = answer.problem()
    assert (answer.status, problem["code"]) == (status, code)
    assert problem["detail"].endswith(".")


@pytest.mark.parametrize("text", BAD_WALLETS.values(), ids=BAD_WALLETS)
def test_a_malformed_address_is_an_error_event_in_a_stream(served: Server, text: str) -> None:
    for headers in ([EVENTS], [("Accept", "*/*")], []):
        answer = exchange(served.url, f"/v4/wallet/{text}/stream", headers=headers)
        _assert_error_event(answer, "INVALID_WALLET")


@pytest.mark.parametrize("text", BAD_WALLETS.values(), ids=BAD_WALLETS)
@pytest.mark.parametrize("resource", ["", "/trades", "/stream"])
def test_a_malformed_address_is_refused_to_who_asks_for_json(
    served: Server, text: str, resource: str
) -> None:
    answer = exchange(served.url, f"/v4/wallet/{text}{resource}", headers=[JSON])
    _assert_problem(answer, 400, "INVALID_WALLET")


@pytest.mark.parametrize("query", BAD_PARAMETERS, ids=lambda query: query[:40])
def test_a_bad_value_of_a_known_parameter_is_refused(
    served: Server, wallet: str, query: str
) -> None:
    path = f"/v4/wallet/{wallet}/stream?{query}"
    _assert_error_event(exchange(served.url, path, headers=[EVENTS]), "INVALID_PARAMETER")
    _assert_problem(exchange(served.url, path, headers=[JSON]), 400, "INVALID_PARAMETER")


@pytest.mark.parametrize("query", BAD_PAGES)
def test_a_bad_value_for_a_page_of_trades_is_refused_by_its_name(
    served: Server, wallet: str, query: str
) -> None:
    answer = exchange(served.url, f"/v4/wallet/{wallet}/trades?{query}")
    _assert_problem(answer, 400, "INVALID_PARAMETER")
    assert answer.problem()["detail"].startswith(query.partition("=")[0])


@pytest.mark.parametrize("accept", [EVENTS, JSON])
@pytest.mark.parametrize(
    "text", ["abc", "1-2-3", "\xe9", "9" * 5000 + "-1", "1-1, 1-2", "<script>", '\\u0000"']
)
def test_an_unreadable_id_that_a_client_cannot_drop_is_a_gap_and_a_full_replay(
    served: Server, wallet: str, text: str, accept: tuple[str, str]
) -> None:
    """An EventSource sends its header for ever, and a polyfill its parameter."""
    path = f"/v4/wallet/{wallet}/stream"
    whole = [event.id for event in _events(exchange(served.url, path)) if event.id]
    query = urlencode({"lastEventId": text, "last_event_id": whole[-2]})
    for answer in (
        exchange(served.url, path, headers=[accept, ("Last-Event-ID", text)]),
        exchange(served.url, f"{path}?{query}", headers=[accept]),
    ):
        connected, gap, *events = _events(answer)
        assert connected.data["resumed"] is False
        assert (gap.name, gap.data["reason"]) == ("gap", "unknown_id")
        assert gap.data["from"] == ""
        assert [event.id for event in events if event.id] == whole


def test_a_header_that_comes_twice_is_no_id_of_ours(served: Server, wallet: str) -> None:
    path = f"/v4/wallet/{wallet}/stream"
    last = next(event.id for event in _events(exchange(served.url, path)) if event.id)
    twice = [("Last-Event-ID", str(last))] * 2
    _, gap, *_ = _events(exchange(served.url, path, headers=twice))
    assert (gap.name, gap.data["reason"]) == ("gap", "unknown_id")


def test_a_header_without_an_id_is_none(served: Server, wallet: str) -> None:
    path = f"/v4/wallet/{wallet}/stream?lastEventId="
    answer = exchange(served.url, path, headers=[("Last-Event-ID", "")])
    assert "gap" not in [event.name for event in _events(answer)]


def test_nothing_of_an_unreadable_id_is_told_back(served: Server, wallet: str) -> None:
    answer = exchange(served.url, f"/v4/wallet/{wallet}/stream?lastEventId=%ff%00%0a%0aforged:")
    _, gap, *_ = _events(answer)
    assert gap.data["from"] == ""
    assert b"forged" not in answer.body


@pytest.mark.parametrize("alias", ALIASES)
def test_a_polyfill_resumes_by_the_name_that_it_has_for_the_id(
    served: Server, wallet: str, alias: str
) -> None:
    path = f"/v4/wallet/{wallet}/stream"
    ids = [event.id for event in _events(exchange(served.url, path)) if event.id]
    # The URL that it was given stays as it was when it comes back.
    query = urlencode({"last_event_id": ids[0], alias: ids[3]})
    connected, *events = _events(exchange(served.url, f"{path}?{query}"))
    assert connected.data["resumed"] is True
    assert [event.id for event in events if event.id] == ids[4:]
    newer = [("Last-Event-ID", str(ids[5]))]
    events = _events(exchange(served.url, f"{path}?{query}", headers=newer))
    assert [event.id for event in events if event.id] == ids[6:]
    done = exchange(served.url, f"{path}?{urlencode({alias: ids[-1]})}")
    assert done.status == 204


def _events(answer: Answer) -> list[Event]:
    return [read_event(block) for block in answer.body.split(b"\n\n")[:-1]]


@pytest.mark.parametrize(
    "query", ["unknown=1", "%%%=&&&=;", "=", "a[]=1&a[]=2", "%ff=%fe", "?", "batch[]=0"]
)
def test_unknown_parameters_are_ignored(served: Server, wallet: str, query: str) -> None:
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream?{query}") as stream:
        assert stream.status == 200
        assert stream.until("complete", "error")[-1].name == "complete"


def test_an_id_of_another_wallet_is_a_gap_and_a_full_replay(
    served: Server, wallet: str, empty_wallet: str
) -> None:
    with EventSource(f"{served.url}/v4/wallet/{empty_wallet}/stream") as other:
        foreign = other.until("complete")[-1].id
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream?last_event_id={foreign}") as stream:
        connected, gap, *events = stream.until("complete")
    assert connected.data["resumed"] is False
    assert gap.name == "gap"
    assert gap.data["from"] == foreign
    first = next(event for event in events if event.id)
    assert first.data["number"] == 1


@pytest.mark.parametrize("ahead", [1, 1000, 2**52])
def test_an_id_from_the_future_is_a_gap_and_a_full_replay(
    served: Server, wallet: str, ahead: int
) -> None:
    url = f"{served.url}/v4/wallet/{wallet}/stream"
    with EventSource(url) as stream:
        whole = [event.id for event in stream if event.id]
    epoch, _, newest = str(whole[-1]).partition("-")
    with EventSource(url, {"Last-Event-ID": f"{epoch}-{int(newest) + ahead}"}) as stream:
        connected, gap, *events = stream
    assert connected.data["resumed"] is False
    assert (gap.name, gap.data["reason"]) == ("gap", "unknown_id")
    assert [event.id for event in events if event.id] == whole


@pytest.mark.parametrize("path", ["/health", "/", "/metrics", "/v4/wallet/{wallet}/stream"])
def test_headers_of_64_kb_are_refused_with_431(served: Server, wallet: str, path: str) -> None:
    headers = [EVENTS, ("X-Large", "a" * LARGE)]
    answer = exchange(served.url, path.format(wallet=wallet), headers=headers)
    _assert_problem(answer, 431, "REQUEST_HEADER_FIELDS_TOO_LARGE")


def test_thousands_of_small_headers_are_refused_with_431(served: Server) -> None:
    headers = [(f"X-{number}", "abcdefgh") for number in range(5000)]
    answer = exchange(served.url, "/health", headers=headers)
    _assert_problem(answer, 431, "REQUEST_HEADER_FIELDS_TOO_LARGE")


@pytest.mark.parametrize(
    ("start", "status", "code"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: ", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX", 431, "REQUEST_HEADER_FIELDS_TOO_LARGE"),
        (b"GET /", 414, "URI_TOO_LONG"),
        (b"GET /health?", 414, "URI_TOO_LONG"),
        (b"GET http://x/", 414, "URI_TOO_LONG"),
    ],
    ids=["header", "name", "path", "query", "absolute form"],
)
def test_a_head_is_refused_as_soon_as_it_is_too_large_however_much_still_comes(
    served: Server, start: bytes, status: int, code: str
) -> None:
    with Connection(served.url) as connection:
        connection.send(start + b"a" * MUCH_TOO_LARGE)
        answer = connection.answer()
        _assert_problem(answer, status, code)
        assert answer.headers["connection"] == "close"
        assert connection.ended() == b""


@pytest.mark.parametrize("path", ["/{}", "/health?x={}", "/v4/wallet/{}/stream"])
def test_a_target_of_64_kb_is_refused_with_414(served: Server, path: str) -> None:
    answer = exchange(served.url, path.format("a" * LARGE), headers=[EVENTS])
    _assert_problem(answer, 414, "URI_TOO_LONG")


def test_a_long_path_that_may_be_sent_is_not_found(served: Server) -> None:
    _assert_problem(exchange(served.url, "/" + "a" * 15_000), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path",
    [
        "//health",
        "/health/",
        "/./health",
        "/%2e%2e/health",
        "/v4%2fwallet",
        "/health%00",
        "/health%0d%0aX-Evil:%20yes",
        "/health%3Fa=b",
        "/HEALTH",
        "/v4/wallet/",
        "/v4/wallet/a/b",
        "/v4/wallet/{wallet}/stream/",
        "*",
    ],
)
def test_a_path_that_only_looks_like_one_is_not_found(
    served: Server, wallet: str, path: str
) -> None:
    answer = exchange(served.url, path.format(wallet=wallet))
    _assert_problem(answer, 404, "NOT_FOUND")
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("path", ["/health", "/v4/wallet/{wallet}", "/v4/wallet/{wallet}/stream"])
def test_a_body_on_get_is_refused(served: Server, wallet: str, path: str) -> None:
    target = path.format(wallet=wallet)
    _assert_problem(exchange(served.url, target, body=b"abc"), 400, "BAD_REQUEST")
    with Connection(served.url) as connection:
        connection.request("GET", target, [("Transfer-Encoding", "chunked")])
        connection.send(b"3\r\nabc\r\n0\r\n\r\n")
        _assert_problem(connection.answer(), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW", "get"]
)
@pytest.mark.parametrize("path", ["/health", "/v4/wallet/{wallet}/stream"])
def test_an_unknown_method_is_not_allowed(
    served: Server, wallet: str, path: str, method: str
) -> None:
    answer = exchange(served.url, path.format(wallet=wallet), method=method)
    _assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("request_bytes", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_no_http_is_refused_and_the_connection_closed(
    served: Server, request_bytes: bytes
) -> None:
    with Connection(served.url) as connection:
        connection.send_as_taken(request_bytes)
        answered = connection.ended()
    assert answered.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answered
    assert b"\r\nContent-Type: application/problem+json\r\n" in answered
    assert b"\r\nConnection: close\r\n" in answered
    assert b"\nHTTP/1.1" not in answered, "a second request was read out of one"


@pytest.mark.parametrize(
    "framed",
    [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"],
    ids=["sized", "chunks"],
)
def test_a_body_of_a_megabyte_is_refused_with_413_and_not_by_a_reset(
    served: Server, framed: bytes
) -> None:
    with Connection(served.url) as connection:
        connection.send(b"GET /health HTTP/1.1\r\nHost: x\r\n" + framed + b"a" * 1_000_000)
        _assert_problem(connection.answer(), 413, "CONTENT_TOO_LARGE")
        assert connection.ended() == b""


@pytest.mark.parametrize("method", ["PUT", "GET", "OPTIONS", "PATCH", "POST"])
def test_a_stranger_s_large_body_for_the_webhook_is_not_kept(served: Server, method: str) -> None:
    """Only deliveries with the secret may be large."""
    with Connection(served.url) as connection:
        head = (
            f"{method} /v4/webhooks/helius HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n"
        )
        connection.send(head.encode() + b"[" * 100_000)
        assert connection.answer().status in (403, 413)


def test_pipelined_requests_are_answered_in_order(served: Server) -> None:
    with Connection(served.url) as connection:
        for path in ("/health/live", "/nowhere", "/health", "/health/ready"):
            connection.request("GET", path)
        answers = [connection.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 404, 200, 200]
    assert answers[0].json() == {"status": "alive"}
    assert answers[3].json() == {"status": "ready"}


def test_a_stream_may_follow_on_a_kept_connection(served: Server, wallet: str) -> None:
    with Connection(served.url) as connection:
        connection.request("GET", "/health/live")
        connection.request("GET", f"/v4/wallet/{wallet}/stream", [EVENTS])
        assert connection.answer().status == 200
        stream = connection.answer()
    assert stream.media_type == "text/event-stream"
    assert stream.body.startswith(b"event: connected\n")
    assert b"\nevent: complete\n" in stream.body


def test_what_is_pipelined_behind_a_stream_does_no_harm(served: Server, wallet: str) -> None:
    with Connection(served.url) as connection:
        connection.request("GET", f"/v4/wallet/{wallet}/stream", [EVENTS])
        connection.request("GET", "/health")
        stream = connection.answer()
    assert stream.headers["connection"] == "close"
    assert stream.body.startswith(b"event: connected\n")
    assert b"HTTP/1.1" not in stream.body


def test_what_a_client_says_during_its_stream_is_dropped(served: Server, wallet: str) -> None:
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream?follow=true") as stream:
        stream.until("connected")
        stream.socket.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + b"\0\xff" * 50_000)
        assert stream.until("complete", "error")[-1].name == "complete"


def test_http_1_0_is_answered_and_closed(served: Server, wallet: str) -> None:
    for path in ("/health/live", f"/v4/wallet/{wallet}/stream"):
        with Connection(served.url) as connection:
            connection.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = connection.answer()
            assert answer.status == 200
            assert "transfer-encoding" not in answer.headers
            assert connection.ended() == b""


@pytest.mark.parametrize("scheme", ["http", "HTTP", "https", "hTTpS"])
def test_the_absolute_form_of_a_url_is_answered(served: Server, scheme: str) -> None:
    """A scheme is the same in capitals (RFC 3986, section 3.1)."""
    target = served.url.replace("http", scheme, 1) + "/health/live"
    assert exchange(served.url, target).json() == {"status": "alive"}


@pytest.mark.parametrize("path", ["/health/live", "/v4/wallet/{wallet}/stream"])
def test_the_wish_for_another_protocol_is_answered_in_this_one(
    served: Server, wallet: str, path: str
) -> None:
    """As curl and Java's client ask for HTTP/2 with each first request."""
    headers = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")]
    headers.append(("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"))
    assert exchange(served.url, path.format(wallet=wallet), headers=headers).status == 200


def test_who_expects_100_continue_gets_it_and_then_the_answer(served: Server) -> None:
    with Connection(served.url) as connection:
        headers = [("Expect", "100-continue"), ("Content-Length", "3")]
        connection.request("GET", "/health", headers)
        assert connection.answer(has_body=False).status == 100
        connection.send(b"abc")
        _assert_problem(connection.answer(), 400, "BAD_REQUEST")


def test_clients_that_never_finish_their_headers_are_cut(served: Server) -> None:
    """After 10 seconds, whether they are silent or send a little now and then."""
    with Connection(served.url) as silent, Connection(served.url) as slow:
        slow.send(b"GET /health HTTP/1.1\r\nHost: x\r\nX: ")
        slow.socket.settimeout(0.5)
        while True:
            try:
                if not slow.socket.recv(1):
                    break
            except TimeoutError:
                slow.send(b"a")
            except ConnectionError:
                break
        assert silent.ended() == b""


def test_a_key_in_the_query_or_a_header_is_never_logged(served: Server, wallet: str) -> None:
    keys = [f"wd_{kind * 32}" for kind in "abcd"]
    for path in (f"/v4/wallet/{wallet}/stream", "/health", "/nowhere", f"/v4/wallet/{wallet}"):
        target = f"{path}?api_key={keys[0]}&access_token={keys[1]}&batch=0"
        headers = [("Authorization", f"Bearer {keys[2]}"), ("X-API-Key", keys[3])]
        answer = exchange(served.url, target, headers=headers)
        assert not [key for key in keys if key.encode() in answer.body]
    logged = served.log.read_text()
    assert not [key for key in keys if key in logged]
