"""What a running server answers in JSON is the Struct that the table of endpoints names, byte for
byte, and is as `/openapi.json` describes it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import msgspec
import pytest
from eventsource import EventSource
from jsonschema_rs import Draft202012Validator, ValidationError
from processes import Server, Simulator, server
from redis_server import RedisServer
from wire import Answer, exchange

from handlers.answers import Problem
from handlers.endpoints import ENDPOINTS, JSON, PROBLEM, Endpoint
from wd_server.events import encoding

SECRET = "what Helius sends with a delivery"
# Statuses of refusals that only a fault inside the server or upstream brings about.
FAULTS = {500, 502}


class World(NamedTuple):
    """Servers in the states that answers tell of.

    open: lets anybody in, and has read `wallet`
    guarded: needs a key; a caller's second request in a minute is one too many
    busy: reads `wallet` and doesn't come to its end
    shared: stores in Redis
    cut_off: stored in a Redis that went away
    key: one of `open`
    wallet: has trades
    """

    open: Server
    guarded: Server
    busy: Server
    shared: Server
    cut_off: Server
    key: str
    wallet: str

    def ask(self, at: Server, target: str, *headers: tuple[str, str], **request: Any) -> Answer:
        target = target.format(wallet=self.wallet)
        return exchange(at.url, target, headers=[("Accept", JSON), *headers], **request)

    def post(self, target: str, body: bytes, *headers: tuple[str, str]) -> Answer:
        return self.ask(
            self.open, target, ("Content-Type", JSON), *headers, method="POST", body=body
        )

    def own_streams(self) -> Answer:
        with (
            EventSource(self.open.stream(self.wallet, f"follow=true&api_key={self.key}")) as one,
            EventSource(
                f"{self.open.url}/v4/stream?follow=true&wallet={self.wallet}&api_key={self.key}"
                f"&wallet={'1' * 32}"
            ) as several,
        ):
            one.until("complete")
            several.until("complete")
            return self.ask(self.open, "/v4/streams", ("X-API-Key", self.key))


@pytest.fixture(scope="module")
def world(
    chain: Simulator, wallet: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    redis, away = RedisServer(folder / "redis"), RedisServer(folder / "away")
    with ExitStack() as stack:
        started = stack.enter_context(server(folder / "open", chain.url, WEBHOOK_SECRET=SECRET))
        with EventSource(started.stream(wallet)) as stream:
            stream.until("complete")
        guarded = server(folder / "guarded", None, API_KEY_REQUIRED="true", RATE_LIMIT_REQUESTS=1)
        for each in (redis, away):
            stack.callback(each.stop)
            each.start()
        shared = server(folder / "shared", chain.url, REDIS_URL=redis.url.reveal())
        cut_off = stack.enter_context(
            server(folder / "cut_off", chain.url, REDIS_URL=away.url.reveal())
        )
        away.stop()
        cut_off.wait_until_logged("redis doesn't answer")
        busy = stack.enter_context(server(folder / "busy", chain.url))
        stack.callback(chain.call, "simReset")
        chain.call("simFault", {"kind": "429", "seconds": 60, "retry_after": 5})
        reading = stack.enter_context(EventSource(busy.stream(wallet)))
        reading.until("progress")
        yield World(
            started,
            stack.enter_context(guarded),
            busy,
            stack.enter_context(shared),
            cut_off,
            started.key(),
            wallet,
        )


# How each answer in JSON comes about, by endpoint and status.
ANSWERS: dict[tuple[str, int], Callable[[World], list[Answer]]] = {
    ("get /", 200): lambda w: [w.ask(w.open, "/")],
    ("get /health", 200): lambda w: [w.ask(each, "/health") for each in (w.open, w.shared)],
    ("get /health", 503): lambda w: [w.ask(w.cut_off, "/health")],
    ("get /health/live", 200): lambda w: [w.ask(w.open, "/health/live")],
    ("get /health/ready", 200): lambda w: [w.ask(w.open, "/health/ready")],
    ("get /openapi.json", 200): lambda w: [
        w.ask(each, "/openapi.json") for each in (w.open, w.guarded)
    ],
    ("get /asyncapi.json", 200): lambda w: [w.ask(w.open, "/asyncapi.json")],
    ("get /v4/streams", 200): lambda w: [
        w.ask(w.open, "/v4/streams", ("X-API-Key", w.key)),
        w.own_streams(),
    ],
    ("get /v4/wallet/{address}", 200): lambda w: [w.ask(w.open, "/v4/wallet/{wallet}")],
    ("get /v4/wallet/{address}", 202): lambda w: [w.ask(w.busy, "/v4/wallet/{wallet}")],
    ("get /v4/wallet/{address}/trades", 200): lambda w: [
        w.ask(w.open, f"/v4/wallet/{{wallet}}/trades{query}")
        for query in ("", "?limit=1", "?include=movements")
    ],
    ("get /v4/wallet/{address}/movements", 200): lambda w: [
        w.ask(w.open, f"/v4/wallet/{{wallet}}/movements{query}") for query in ("", "?limit=1")
    ],
    ("get /v4/wallet/{address}/explain/{signature}", 200): lambda w: [
        w.ask(w.open, f"/v4/wallet/{{wallet}}/explain/{told['signature']}")
        for page in ("trades", "movements")
        for told in w.ask(w.open, f"/v4/wallet/{{wallet}}/{page}?limit=3").json()[page]
    ],
    ("post /v4/auth/token", 200): lambda w: [
        w.post("/v4/auth/token", body, ("X-API-Key", w.key))
        for body in (b"", json.dumps({"wallets": [w.wallet], "seconds": 60}).encode())
    ],
    ("post /v4/webhooks/helius", 200): lambda w: [
        w.post("/v4/webhooks/helius", b"[]", ("Authorization", SECRET))
    ],
}

# The fields of each answer in their order, which clients see: a Struct that changes changes them.
FIELDS = {
    "Problem": "type title status detail code error",
    "Home": "name version links wallets",
    "HealthDocument": "status version timestamp uptime streaming dependencies stores tasks redis",
    "Liveness": "status",
    "Readiness": "status",
    "OpenApi": "openapi info servers paths components",
    "AsyncApi": "asyncapi info defaultContentType channels operations components",
    "OwnStreams": "streams total",
    "WalletReport": "wallet status progress summary positions truncated",
    "TradePage": "wallet trades retracted next movements",
    "MovementPage": "wallet movements next",
    "ExplainedTransaction": "wallet signature slot block_index timestamp reason postings trades "
    "earlier",
    "Token": "access_token token_type expires_in expires_at jti",
    "Delivered": "stored",
}
# Of these, the field that a server without Redis leaves out, and the one of a page without
# `include=movements`.
LEFT_OUT = {"redis", "movements"}

# How each refusal comes about.
REFUSED: dict[int, Callable[[World], list[Answer]]] = {
    400: lambda w: [
        w.ask(w.open, "/v4/wallet/x"),
        w.ask(w.open, "/v4/wallet/{wallet}/stream?batch=0"),
        w.ask(w.open, "/v4/wallet/{wallet}/stream?include=everything"),
        w.ask(w.open, "/v4/wallet/{wallet}/trades?include="),
        w.ask(w.open, "/v4/wallet/{wallet}/explain/x"),
        w.post("/v4/auth/token", b"{", ("X-API-Key", w.key)),
    ],
    401: lambda w: [w.ask(w.guarded, "/v4/streams"), w.ask(w.open, "/v4/streams")],
    403: lambda w: [w.post("/v4/webhooks/helius", b"[]")],
    404: lambda w: [
        w.ask(w.open, "/nowhere"),
        w.ask(w.open, f"/v4/wallet/{'1' * 31}2"),
        w.ask(w.open, f"/v4/wallet/{{wallet}}/explain/{'1' * 64}"),
        w.ask(w.open, f"/v4/wallet/{'1' * 31}2/explain/{'1' * 64}"),
        w.ask(w.open, "/v4/streams/x", ("X-API-Key", w.key), method="DELETE"),
    ],
    405: lambda w: [w.ask(w.open, "/health", method="POST")],
    410: lambda w: [w.ask(w.open, "/v4/wallet/{wallet}/trades?after=1-1")],
    413: lambda w: [w.post("/v4/auth/token", b" " * 100_000, ("X-API-Key", w.key))],
    414: lambda w: [w.ask(w.open, "/" + "x" * 20_000)],
    429: lambda w: [
        [w.ask(w.guarded, "/v4/streams", ("X-API-Key", key)) for _ in range(2)][1]
        for key in [w.guarded.key()]
    ],
    431: lambda w: [w.ask(w.open, "/health", ("X-Large", "x" * 20_000))],
    503: lambda w: [w.ask(w.cut_off, "/health/ready")],
}


def answers_in_json() -> Iterator[tuple[Endpoint, int]]:
    for endpoint in ENDPOINTS:
        for status, answer in endpoint.answers.items():
            if JSON in answer.contents:
                yield endpoint, status


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def test_every_answer_in_json_is_tried() -> None:
    assert ANSWERS.keys() == {(named(endpoint), status) for endpoint, status in answers_in_json()}
    refused = {status for endpoint in ENDPOINTS for status in endpoint.statuses}
    assert REFUSED.keys() == refused - FAULTS


@pytest.fixture(scope="module")
def openapi(world: World) -> Any:
    return world.open.get("/openapi.json")


def validator(openapi: Any, described: Any, media_type: str) -> Draft202012Validator:
    """Of the schema of a response, with everything that it refers to."""
    schema = described["content"][media_type]["schema"]
    return Draft202012Validator({**schema, "components": openapi["components"]})


@pytest.mark.parametrize(
    ("endpoint", "status"),
    [pytest.param(*each, id=f"{named(each[0])} {each[1]}") for each in answers_in_json()],
)
def test_an_answer_is_its_struct_and_as_it_is_described(
    world: World, openapi: Any, endpoint: Endpoint, status: int
) -> None:
    struct = endpoint.answers[status].contents[JSON]
    described = openapi["paths"][endpoint.path][endpoint.method]["responses"][str(status)]
    for answer in ANSWERS[named(endpoint), status](world):
        assert (answer.status, answer.media_type) == (status, JSON)
        # Nothing is lost on the way, so it has the fields of the Struct and no other.
        assert encoding.encode(msgspec.json.decode(answer.body, type=struct)) == answer.body
        validator(openapi, described, JSON).validate(answer.json())
        fields = FIELDS[struct.__name__].split()
        assert list(answer.json()) in (fields, [each for each in fields if each not in LEFT_OUT])


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_is_a_problem_and_as_it_is_described(
    world: World, openapi: Any, status: int
) -> None:
    described = openapi["components"]["responses"][str(status)]
    for answer in REFUSED[status](world):
        assert (answer.status, answer.media_type) == (status, PROBLEM)
        assert encoding.encode(msgspec.json.decode(answer.body, type=Problem)) == answer.body
        validator(openapi, described, PROBLEM).validate(answer.json())
        assert list(answer.json()) == FIELDS["Problem"].split()
        assert answer.json()["status"] == status


def test_an_answer_that_is_not_as_described_is_found(world: World, openapi: Any) -> None:
    described = openapi["paths"]["/health"]["get"]["responses"]["200"]
    health = world.open.get("/health")
    for wrong in ({**health, "status": "well"}, {**health, "streaming": {}}, {}):
        with pytest.raises(ValidationError):
            validator(openapi, described, JSON).validate(wrong)


def test_the_answers_that_depend_on_something_have_it(world: World) -> None:
    """So that the tests above see the fields that are left out or null elsewhere."""
    assert "redis" in world.shared.get("/health")
    assert "redis" not in world.open.get("/health")
    streams = world.own_streams().json()["streams"]
    assert {len(each["wallets"]) for each in streams} == {1, 2}
    assert world.ask(world.busy, "/v4/wallet/{wallet}").json()["progress"]
    report = world.ask(world.open, "/v4/wallet/{wallet}").json()
    assert report["summary"]
    assert report["positions"]
