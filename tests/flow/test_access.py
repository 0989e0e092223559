"""Keys, tokens and limits of a real server."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from eventsource import EventSource
from processes import Server, Simulator, server
from redis_server import RedisCluster, RedisServer, redis_cluster, redis_server
from wire import Answer, Connection, exchange

EVENTS = ("Accept", "text/event-stream")
JSON = ("Accept", "application/json")
# A right address whose wallet nobody asks for.
OTHER = "9MCxwMs5tvjAfYYUrfvzT7pXvFWQ1EsCzRxPBQvgi2s7"
WRONG_KEY = "wd_" + "x" * 32
# After a crash its streams count no more.
CRASH_SECONDS = 15
# Milliseconds: who has to fetch a token is back soon, who may not come back is told so.
SOON, LATE = 3000, 1_800_000

PATHS = [
    ("GET", "/v4/wallet/{wallet}"),
    ("GET", "/v4/wallet/{wallet}/trades"),
    ("GET", "/v4/wallet/{wallet}/stream"),
    ("HEAD", "/v4/wallet/{wallet}/stream"),
    ("GET", "/v4/streams"),
    ("DELETE", "/v4/streams/6e4cf0b8-3f3f-4c39-9f3e-3a3d8f1f6a2b"),
    ("POST", "/v4/auth/token"),
]


@pytest.fixture(scope="module")
def wallet(_small_wallets: Iterator[str]) -> str:
    return next(_small_wallets)


@pytest.fixture(scope="module")
def guarded(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It demands keys, and limits them as they say themselves."""
    folder = tmp_path_factory.mktemp("guarded")
    with server(folder, chain.url, API_KEY_REQUIRED="true", LOG_LEVEL="debug") as started:
        yield started


@pytest.fixture(scope="module")
def key(guarded: Server) -> str:
    return guarded.key()


def bearer(credential: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {credential}"


def get(srv: Server, path: str, credential: str, *headers: tuple[str, str]) -> Answer:
    return exchange(srv.url, path, headers=[bearer(credential), *headers])


def post(srv: Server, path: str, credential: str, body: bytes) -> Answer:
    headers = [bearer(credential), ("Content-Type", "application/json")]
    return exchange(srv.url, path, method="POST", headers=headers, body=body)


def token(srv: Server, key: str, **asked: Any) -> dict[str, Any]:
    answer = post(srv, "/v4/auth/token", key, json.dumps(asked).encode())
    assert answer.status == 200, answer
    issued: dict[str, Any] = answer.json()
    return issued


def opened(srv: Server, wallet: str, credential: str, query: str = "follow=true") -> EventSource:
    """A stream that has begun."""
    stream = EventSource(srv.stream(wallet, query), dict([bearer(credential)]))
    assert stream.status == 200, stream.status
    stream.until("connected")
    return stream


def problem(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.problem()["code"]


def error_event(answer: Answer) -> str:
    """The code in a stream of one error."""
    assert (answer.status, answer.media_type) == (200, "text/event-stream")
    found = re.fullmatch(rb"retry: \d+\nevent: error\ndata: (.+)\n\n", answer.body)
    assert found is not None, answer.body
    code: str = json.loads(found[1])["code"]
    return code


# Who is let in


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_nobody_gets_anything_of_v4_without_a_key(
    guarded: Server, wallet: str, method: str, path: str
) -> None:
    target = path.format(wallet=wallet)
    for headers, code, error in (
        ([], "AUTH_REQUIRED", ""),
        ([("Authorization", "Basic dTpw")], "AUTH_REQUIRED", ""),
        ([("X-API-Key", WRONG_KEY)], "INVALID_KEY", 'error="invalid_token"'),
        ([bearer("no.to.ken")], "INVALID_KEY", 'error="invalid_token"'),
    ):
        answer = exchange(guarded.url, target, method=method, headers=[EVENTS, *headers])
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="wd-server"')
        assert error in answer.headers["www-authenticate"]
        assert method == "HEAD" or answer.problem()["code"] == code


@pytest.mark.parametrize(
    "path", ["/", "/health", "/health/live", "/health/ready", "/metrics", "/nowhere"]
)
def test_what_says_how_the_server_is_needs_no_key(guarded: Server, path: str) -> None:
    assert exchange(guarded.url, path).status == (404 if path == "/nowhere" else 200)
    # Nor does it look at one.
    assert get(guarded, path, WRONG_KEY).status == (404 if path == "/nowhere" else 200)


def test_a_preflight_has_no_key_and_needs_none(guarded: Server, wallet: str) -> None:
    assert exchange(guarded.url, f"/v4/wallet/{wallet}/stream", method="OPTIONS").status == 204


PLACES: dict[str, Callable[[str], tuple[str, list[tuple[str, str]]]]] = {
    "bearer": lambda text: ("", [bearer(text)]),
    "bearer, in another case": lambda text: ("", [("authorization", f"bearer {text}")]),
    "header": lambda text: ("", [("X-API-Key", text)]),
    "api_key": lambda text: (f"?api_key={text}", []),
    "access_token": lambda text: (f"?access_token={text}", []),
    "a name with percent signs": lambda text: (f"?%61pi%5Fkey={text}", []),
    "everywhere": lambda text: (f"?api_key={text}", [bearer(text), ("X-API-Key", text)]),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("kind", ["key", "token"])
def test_a_credential_may_stand_in_each_of_its_places(
    guarded: Server,
    wallet: str,
    key: str,
    kind: str,
    place: Callable[[str], tuple[str, list[tuple[str, str]]]],
) -> None:
    query, headers = place(key if kind == "key" else token(guarded, key)["access_token"])
    answer = exchange(guarded.url, f"/v4/wallet/{wallet}/stream{query}", headers=headers)
    assert answer.status == 200
    assert answer.body.startswith(b"event: connected\n")
    assert exchange(guarded.url, f"/v4/wallet/{wallet}{query}", headers=headers).status == 200


def test_credentials_that_differ_are_refused_wherever_they_stand(
    guarded: Server, wallet: str, key: str
) -> None:
    for path in (f"/v4/wallet/{wallet}/stream", f"/v4/wallet/{wallet}", "/v4/streams"):
        for query, headers in (
            (f"?api_key={WRONG_KEY}", [bearer(key)]),
            (f"?api_key={WRONG_KEY}&api_key={key}", []),
            ("", [("X-API-Key", WRONG_KEY), ("X-API-Key", key)]),
        ):
            answer = exchange(guarded.url, path + query, headers=[EVENTS, *headers])
            assert problem(answer) == (400, "INVALID_PARAMETER")


def test_a_key_made_while_the_server_runs_is_known_at_once(guarded: Server, wallet: str) -> None:
    for _ in range(3):
        with opened(guarded, wallet, guarded.key()):
            pass


def test_no_credential_is_logged_even_where_it_was_right(
    guarded: Server, wallet: str, key: str
) -> None:
    made = token(guarded, key)["access_token"]
    for text in (key, made, WRONG_KEY):
        for path in (f"/v4/wallet/{wallet}/stream", f"/v4/wallet/{wallet}", "/%zz", "/v4/streams"):
            exchange(guarded.url, f"{path}?api_key={text}")
            with Connection(guarded.url) as connection:  # no HTTP: Tornado logs what it is
                connection.send(f"GET {path}?api_key={text} HTTP/1.1\r\nX\r\n\r\n".encode())
                connection.ended()
    logged = guarded.log.read_text()
    assert "/v4/streams" in logged
    assert not [text for text in (key, made, WRONG_KEY) if text[:20] in logged]


# Refusals as a native EventSource can read them


def test_each_refusal_is_an_error_event_to_who_asks_for_that(
    guarded: Server, wallet: str, key: str
) -> None:
    expired = token(guarded, key, seconds=1)
    with opened(guarded, wallet, expired["access_token"]) as stream:
        stream.until("bye")
    limited = guarded.key("--requests", "2", "--streams", "1")
    for_other = token(guarded, key, wallets=[OTHER])["access_token"]
    path = f"/v4/wallet/{wallet}/stream?errors=event"
    with opened(guarded, wallet, limited):
        refusals = {
            "AUTH_REQUIRED": [],
            "INVALID_KEY": [bearer(WRONG_KEY)],
            "TOKEN_EXPIRED": [bearer(expired["access_token"])],
            "FORBIDDEN_WALLET": [bearer(for_other)],
            "TOO_MANY_STREAMS": [bearer(limited)],
            "RATE_LIMIT": [bearer(limited)],
            "INVALID_PARAMETER": [bearer(key), ("X-API-Key", WRONG_KEY)],
        }
        for code, headers in refusals.items():
            assert error_event(exchange(guarded.url, path, headers=headers)) == code


# Tokens


def test_a_token_says_how_long_it_lasts_and_is_not_to_be_kept(guarded: Server, key: str) -> None:
    answer = post(guarded, "/v4/auth/token", key, b"")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    issued = answer.json()
    assert issued.keys() == {"access_token", "token_type", "expires_in", "expires_at", "jti"}
    assert (issued["token_type"], issued["access_token"].count(".")) == ("Bearer", 2)
    assert 895 <= issued["expires_in"] <= 900


BAD_BODIES = {
    "no JSON": b"{",
    "no object": b"[]",
    "an unknown field": b'{"wallet": "x"}',
    "a wallet that is none": b'{"wallets": ["x"]}',
    "no wallets": b'{"wallets": []}',
    "wallets that are no texts": b'{"wallets": [1]}',
    "seconds as a text": b'{"seconds": "60"}',
    "no seconds": b'{"seconds": 0}',
    "too many seconds": b'{"seconds": 901}',
    "half a second": b'{"seconds": 0.5}',
    "no streams": b'{"max_streams": 0}',
    "a number that is none": b'{"max_streams": 1e999}',
    "not UTF-8": b'{"wallets": ["\xff"]}',
    "51 wallets": json.dumps({"wallets": [f"{'1' * 30}{n:02}" for n in range(51)]}).encode(),
    "deeply nested": b'{"wallets": ' + b"[" * 5000 + b"]" * 5000 + b"}",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_token_that_is_asked_for_in_a_wrong_way_is_refused(
    guarded: Server, key: str, body: bytes
) -> None:
    answer = post(guarded, "/v4/auth/token", key, body)
    assert answer.status == 400
    assert answer.problem()["code"] in ("INVALID_PARAMETER", "INVALID_WALLET")


def test_a_body_that_is_too_large_or_no_json_is_refused(guarded: Server, key: str) -> None:
    form = [bearer(key), ("Content-Type", "application/x-www-form-urlencoded")]
    answer = exchange(guarded.url, "/v4/auth/token", method="POST", headers=form, body=b"{}")
    assert problem(answer) == (400, "INVALID_PARAMETER")
    assert post(guarded, "/v4/auth/token", key, b" " * 70_000).status == 413


def test_only_a_key_makes_tokens(guarded: Server, key: str) -> None:
    made = token(guarded, key)["access_token"]
    assert problem(post(guarded, "/v4/auth/token", made, b"{}")) == (401, "INVALID_KEY")


def test_where_no_key_is_needed_a_token_still_takes_one(chain: Simulator, tmp_path: Path) -> None:
    with server(tmp_path, chain.url) as open_to_all:
        for method, path in (("POST", "/v4/auth/token"), ("GET", "/v4/streams")):
            answer = exchange(open_to_all.url, path, method=method)
            assert problem(answer) == (401, "AUTH_REQUIRED")
        # And a wrong key is wrong, although none would have been needed.
        answer = get(open_to_all, f"/v4/wallet/{OTHER}", WRONG_KEY)
        assert problem(answer) == (401, "INVALID_KEY")


# The end of a stream's right


def test_a_stream_ends_with_its_token_and_is_told_to_fetch_another(
    guarded: Server, wallet: str, key: str
) -> None:
    with opened(guarded, wallet, token(guarded, key, seconds=1)["access_token"]) as stream:
        stream.socket.settimeout(10)
        bye = stream.until("bye")[-1]
    assert bye.data["reason"] == "token_expired"
    assert bye.retry is not None
    assert bye.retry == bye.data["reconnect_after_ms"] <= SOON


def test_a_revoked_key_ends_its_streams_and_those_of_its_tokens_and_no_others(
    guarded: Server, wallet: str, key: str
) -> None:
    revoked = guarded.key()
    of_token = token(guarded, revoked)["access_token"]
    with (
        opened(guarded, wallet, revoked) as first,
        opened(guarded, wallet, of_token) as second,
        opened(guarded, wallet, key) as other,
    ):
        guarded.keys("revoke", revoked[:11])
        for stream in (first, second):
            bye = stream.until("bye")[-1]
            assert bye.data["reason"] == "revoked"
            assert bye.retry is not None
            assert bye.retry >= LATE
        for credential in (revoked, of_token):
            answer = get(guarded, f"/v4/wallet/{wallet}", credential)
            assert problem(answer) == (401, "INVALID_KEY")
        other.until("complete")


def test_a_revoked_token_ends_its_stream(guarded: Server, wallet: str, key: str) -> None:
    made = token(guarded, key)
    with opened(guarded, wallet, made["access_token"]) as stream:
        guarded.keys("revoke-token", made["jti"])
        assert stream.until("bye")[-1].data["reason"] == "revoked"
    answer = get(guarded, f"/v4/wallet/{wallet}", made["access_token"])
    assert problem(answer) == (401, "INVALID_KEY")


# Limits


def test_what_is_left_of_a_limit_is_said_on_every_answer(guarded: Server, wallet: str) -> None:
    limited = guarded.key("--requests", "6")
    path = f"/v4/wallet/{wallet}"
    left = []
    for target in (f"{path}/stream", path, f"{path}/trades?limit=0", "/v4/streams", f"{path}/none"):
        answer = get(guarded, target, limited)
        if target.endswith("/none"):  # nothing is there, and nothing was counted
            assert "ratelimit" not in answer.headers
            continue
        assert answer.headers["ratelimit-policy"] == '"default";q=6;w=60'
        found = re.fullmatch(r'"default";r=(\d+);t=\d+', answer.headers["ratelimit"])
        assert found is not None
        left.append(int(found[1]))
    assert left == [5, 4, 3, 2]


def test_beyond_its_requests_a_key_is_told_when_to_come_back(guarded: Server, wallet: str) -> None:
    limited = guarded.key("--requests", "1")
    path = f"/v4/wallet/{wallet}/stream"
    assert get(guarded, path, limited).status == 200
    for target in (path, f"/v4/wallet/{wallet}", "/v4/streams", "/v4/wallet/x/stream"):
        answer = get(guarded, target, limited)
        assert problem(answer) == (429, "RATE_LIMIT")
        assert 1 <= int(answer.headers["retry-after"]) <= 120
        assert answer.headers["ratelimit"].startswith('"default";r=0;t=')


def test_beyond_its_streams_a_key_waits_until_one_is_over(guarded: Server, wallet: str) -> None:
    limited = guarded.key("--streams", "1", "--requests", "0")
    made = token(guarded, limited)["access_token"]
    with opened(guarded, wallet, limited):
        for credential in (limited, made):  # they share
            answer = get(guarded, f"/v4/wallet/{wallet}/stream", credential)
            assert problem(answer) == (429, "TOO_MANY_STREAMS")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.headers["ratelimit-policy"].startswith('"streams";q=1')
        assert get(guarded, f"/v4/wallet/{wallet}", limited).status == 200
    guarded.wait_for("access_visits", 0)
    with opened(guarded, wallet, limited):
        pass


def test_every_way_out_gives_the_place_back(guarded: Server, wallet: str, chain: Simulator) -> None:
    limited = guarded.key("--streams", "1", "--requests", "0")
    path = f"/v4/wallet/{wallet}/stream"

    def gone_at_once() -> None:
        with Connection(guarded.url) as connection:
            connection.request("GET", f"{path}?follow=true", [bearer(limited)])

    def reset() -> None:
        with opened(guarded, wallet, limited) as stream:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def finished() -> None:
        with EventSource(guarded.stream(wallet), dict([bearer(limited)])) as stream:
            last = stream.until("complete")[-1].id
            assert list(stream) == []
        answer = get(guarded, f"{path}?last_event_id={last}", limited)
        assert answer.status == 204

    def half_a_head() -> None:
        with Connection(guarded.url) as connection:  # by Tornado's own connection
            connection.send(f"GET {path}?follow=true HTTP/1.1\r\nHost: x\r\n".encode())
            connection.send(f"X-API-Key: {limited}\r\n\r\n".encode())

    def closed_by_owner() -> None:
        with opened(guarded, wallet, limited) as stream:
            stream_id = stream.headers["X-Stream-ID"]
            target = f"/v4/streams/{stream_id}"
            assert (
                exchange(guarded.url, target, method="DELETE", headers=[bearer(limited)]).status
                == 204
            )
            stream.until("bye")

    ways: dict[str, Callable[[], object]] = {
        "complete": lambda: get(guarded, path, limited),
        "204": finished,
        "a wrong parameter": lambda: get(guarded, f"{path}?batch=0", limited),
        "a wrong address": lambda: get(guarded, "/v4/wallet/x/stream", limited),
        "HEAD": lambda: exchange(guarded.url, path, method="HEAD", headers=[bearer(limited)]),
        "gone at once": gone_at_once,
        "reset": reset,
        "half a head": half_a_head,
        "closed by its owner": closed_by_owner,
    }
    for _ in range(2):
        for leave in ways.values():
            leave()
            guarded.wait_for("access_visits", 0)
    with opened(guarded, wallet, limited):
        pass


def test_addresses_have_limits_of_their_own_where_no_key_is_needed(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    limits = {"RATE_LIMIT_REQUESTS": 3, "RATE_LIMIT_STREAMING_CONNECTIONS": 1}
    path = f"/v4/wallet/{wallet}/stream"
    with server(tmp_path, chain.url, **limits) as limited:
        with EventSource(limited.stream(wallet, "follow=true")) as stream:
            stream.until("complete")
            assert problem(exchange(limited.url, path)) == (429, "TOO_MANY_STREAMS")
            # Whoever is no trusted proxy speaks for itself, whatever it says.
            forged = [("X-Forwarded-For", "192.0.2.1"), ("X-Real-IP", "192.0.2.1")]
            answer = exchange(limited.url, path, headers=forged)
            assert problem(answer) == (429, "TOO_MANY_STREAMS")
            assert problem(exchange(limited.url, path)) == (429, "RATE_LIMIT")
            assert _from("127.0.0.2", limited, path).status == 200
        key = limited.key()
        assert get(limited, path, key).status == 200


def test_behind_a_trusted_proxy_the_limits_are_those_of_the_clients(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    settings = {"RATE_LIMIT_REQUESTS": 1, "TRUSTED_PROXIES": "127.0.0.1,10.0.0.0/8"}
    path = f"/v4/wallet/{wallet}/stream"
    with server(tmp_path, chain.url, **settings) as limited:

        def status(forwarded: str) -> int:
            return exchange(limited.url, path, headers=[("X-Forwarded-For", forwarded)]).status

        assert status("192.0.2.1") == 200
        assert status("192.0.2.1") == 429
        assert status("192.0.2.2, 10.1.2.3") == 200
        # What stands left of the client was written by the client.
        assert status("192.0.2.77, 192.0.2.2") == 429
        assert status("2001:db8::1") == 200
        assert status("2001:db8::ffff:1") == 429  # the same customer


def test_keys_are_not_guessed_at_speed_and_right_ones_elsewhere_still_work(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    path = f"/v4/wallet/{wallet}"
    with server(tmp_path, chain.url, API_KEY_REQUIRED="true") as attacked:
        key = attacked.key()
        answers = [get(attacked, path, f"wd_{number:032}") for number in range(70)]
        codes = [answer.problem()["code"] for answer in answers]
        assert codes[0] == "INVALID_KEY"
        assert codes[-1] == "RATE_LIMIT"
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert _from("127.0.0.2", attacked, path, bearer(key)).status == 404
        refused = attacked.metrics()
        assert refused['access_refused_total{code="INVALID_KEY"}'] == codes.count("INVALID_KEY")
        assert refused['access_refused_total{code="RATE_LIMIT"}'] == codes.count("RATE_LIMIT")
        assert refused["access_keys"] == 1
        assert refused["access_stale"] == 0


def _from(source: str, srv: Server, path: str, *headers: tuple[str, str]) -> Answer:
    """Ask from another address of the loopback."""
    with Connection(srv.url, source=source) as connection:
        connection.request("GET", path, headers)
        return connection.answer()


# Own streams


def test_the_owner_sees_its_streams_and_closes_them(guarded: Server, wallet: str) -> None:
    own = guarded.key()
    with (
        opened(guarded, wallet, own) as first,
        opened(guarded, OTHER, token(guarded, own)["access_token"]) as second,
    ):
        events = first.until("complete")
        shown = {
            each["stream_id"]: each for each in get(guarded, "/v4/streams", own).json()["streams"]
        }
        assert shown.keys() == {stream.headers["X-Stream-ID"] for stream in (first, second)}
        mine = shown[first.headers["X-Stream-ID"]]
        fields = {"stream_id", "wallet", "wallets", "state", "age", "events", "bytes", "lag"}
        assert mine.keys() == fields
        assert mine["wallets"] == [wallet]
        assert (mine["wallet"], mine["state"], mine["lag"]) == (wallet, "live", 0)
        assert mine["events"] >= len(events) + 1
        target = f"/v4/streams/{first.headers['X-Stream-ID']}"
        closed = exchange(guarded.url, target, method="DELETE", headers=[bearer(own)])
        assert (closed.status, closed.body) == (204, b"")
        bye = first.until("bye")[-1]
        assert bye.data["reason"] == "closed_by_owner"
        guarded.wait_for("access_visits", 1)
        again = exchange(guarded.url, target, method="DELETE", headers=[bearer(own)])
        assert problem(again) == (404, "NOT_FOUND")
        (left,) = get(guarded, "/v4/streams", own).json()["streams"]
        assert left["wallet"] == OTHER


# The store of keys


@pytest.mark.parametrize("start", [redis_server, redis_cluster])
def test_streams_of_a_killed_server_count_no_more_within_fifteen_seconds(
    chain: Simulator,
    wallet: str,
    tmp_path: Path,
    start: Callable[[], AbstractContextManager[RedisServer | RedisCluster]],
) -> None:
    with start() as redis:
        settings = {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": "s" * 32}
        with (
            server(tmp_path / "a", chain.url, API_KEY_REQUIRED="true", **settings) as one,
            server(tmp_path / "b", chain.url, API_KEY_REQUIRED="true", **settings) as two,
        ):
            key = one.key("--streams", "1")
            path = f"/v4/wallet/{wallet}/stream"
            with opened(one, wallet, key):
                assert problem(get(two, path, key)) == (429, "TOO_MANY_STREAMS")
                one.kill()
                killed_at = monotonic()
                while get(two, path, key).status == 429:
                    assert monotonic() < killed_at + CRASH_SECONDS
                    sleep(0.2)


def test_keys_and_limits_in_redis_hold_and_its_loss_keeps_open_streams(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with redis_server() as redis:
        settings = {"REDIS_URL": redis.url.reveal(), "SECRET_KEY": "s" * 32}
        with (
            server(tmp_path / "a", chain.url, API_KEY_REQUIRED="true", **settings) as one,
            server(tmp_path / "b", chain.url, API_KEY_REQUIRED="true", **settings) as two,
        ):
            key = one.key("--streams", "1")
            assert one.get("/health")["dependencies"]["redis"] == "configured"
            path = f"/v4/wallet/{wallet}/stream"
            with opened(one, wallet, key) as stream:
                stream.until("complete")
                assert problem(get(two, path, key)) == (429, "TOO_MANY_STREAMS")
                redis.stop()
                one.wait_for("access_stale", 1)
                answer = get(one, path, key)
                assert problem(answer) == (503, "STORE_UNAVAILABLE")
                assert int(answer.headers["retry-after"]) >= 1
                health = exchange(one.url, "/health")
                assert (health.status, health.json()["status"]) == (503, "unhealthy")
                assert health.json()["dependencies"]["redis"] == "unavailable"
                assert exchange(one.url, "/health/ready").status == 503
                redis.start()
                one.wait_for("access_stale", 0)
                one.wait_until_healthy()  # the journal notices a bit later than the keys do
                two.keys("revoke", key[:11])
                assert stream.until("bye")[-1].data["reason"] == "revoked"
