"""Each row of the table of parameters, at each endpoint that takes it: the server takes what the
row describes, and refuses what lies beyond it with the row's sentence."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import msgspec
import pytest
from eventsource import EventSource
from processes import PATIENCE, Server

from handlers import parameters
from handlers.endpoints import ENDPOINTS, Endpoint
from handlers.parameters import (
    ACCESS_TOKEN,
    ADDRESS,
    API_KEY,
    AUTHORIZATION,
    LAST_EVENT_ID,
    POSITION,
    SIGNATURE,
    STREAM_ID,
    WALLETS,
    X_API_KEY,
    InQuery,
    Parameter,
    TokenRequest,
)
from wd_server.base58 import ALPHABET
from wd_server.errors import InvalidWallet
from wd_server.trading.wallet import WalletAddress

PARTS = ("address", "signature", "stream_id")
CREDENTIALS = (AUTHORIZATION, X_API_KEY, API_KEY, ACCESS_TOKEN)
ROWS = [(endpoint, row) for endpoint in ENDPOINTS for row in endpoint.parameters]


class Said(NamedTuple):
    status: int
    detail: str


@pytest.fixture(scope="module")
def key(served: Server) -> str:
    return served.key("--requests", "0")


@pytest.fixture(scope="module")
def last_ids(served: Server, wallet: str, key: str) -> dict[str, str]:
    """The last id of a stream of one wallet and of one of several, by the endpoint's path."""
    paths = {
        "/v4/wallet/{address}/stream": f"/v4/wallet/{wallet}/stream",
        "/v4/stream": f"/v4/stream?wallet={wallet}",
    }
    found = {}
    for path, target in paths.items():
        with EventSource(served.url + target, {"X-API-Key": key}) as stream:
            found[path] = str(stream.until("complete")[-1].id)
    return found


def asked(
    served: Server, endpoint: Endpoint, wallet: str, key: str, row: Parameter[object], text: str
) -> Said:
    """What the server says to a request that has this text for this row, and all else right."""
    parts = {"address": wallet, "signature": SIGNATURE.example, "stream_id": "none"}
    query = {"wallet": wallet} if WALLETS in endpoint.parameters else {}
    headers = {"Accept": "application/json", "X-API-Key": key}
    {"path": parts, "query": query, "header": headers}[row.place][row.name] = text
    target = endpoint.path.format(**parts)
    return said(served, endpoint.method, f"{target}?{urlencode(query)}", headers)


def said(
    served: Server, method: str, target: str, headers: dict[str, str], body: bytes | None = None
) -> Said:
    request = Request(served.url + target, body, headers, method=method.upper())
    try:
        with urlopen(request, timeout=PATIENCE) as response:
            return Said(response.status, "")
    except HTTPError as error:
        with error:
            return Said(error.code, json.load(error)["detail"])


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def within(schema: dict[str, Any]) -> Iterator[str]:
    """Values at the bounds, and those that stand as examples."""
    for value in (*schema.get("examples", ()), *schema.get("enum", ())):
        yield as_text(value)
    for bound in ("minimum", "maximum", "default"):
        if schema.get(bound) is not None:
            yield as_text(schema[bound])


def beyond(schema: dict[str, Any]) -> Iterator[str]:
    """The values next to the bounds, and one that is none at all."""
    yield "nonsense"
    for bound, step in (("minimum", -1), ("maximum", 1), ("exclusiveMaximum", 0)):
        if bound in schema:
            yield as_text(schema[bound] + step)


def test_every_row_is_taken_by_an_endpoint_and_every_endpoint_takes_rows() -> None:
    rows = [each for each in vars(parameters).values() if isinstance(each, Parameter)]
    taken = {row.name for _, row in ROWS} | {row.name for row in CREDENTIALS}
    assert {row.name for row in rows} == taken
    assert len({id(row) for row in rows}) == len({(row.name, row.place) for row in rows})
    for endpoint in ENDPOINTS:
        in_path = {row.name for row in endpoint.parameters if row.place == "path"}
        assert in_path == {part for part in PARTS if f"{{{part}}}" in endpoint.path}


@pytest.mark.parametrize(
    ("endpoint", "row"), [pytest.param(*each, id=f"{each[0].path} {each[1].name}") for each in ROWS]
)
def test_a_row_takes_what_it_describes(
    served: Server,
    wallet: str,
    key: str,
    last_ids: dict[str, str],
    endpoint: Endpoint,
    row: Parameter[object],
) -> None:
    schema = row.schema()
    values = list(within(schema.get("items", schema)))
    if row in (ADDRESS, WALLETS):
        values = [wallet]
    elif row in (LAST_EVENT_ID, POSITION):
        values = [last_ids[endpoint.path]]
    assert values
    for value in values:
        answer = asked(served, endpoint, wallet, key, row, value)
        assert answer.status != 400, (value, answer)


# What any text is right for: nothing lies beyond, or another part of the server says what does.
FREE = (STREAM_ID, POSITION)


@pytest.mark.parametrize(
    ("endpoint", "row"),
    [
        pytest.param(*each, id=f"{each[0].path} {each[1].name}")
        for each in ROWS
        if each[1] not in FREE
    ],
)
def test_a_row_refuses_what_lies_beyond_with_its_own_sentence(
    served: Server, wallet: str, key: str, endpoint: Endpoint, row: Parameter[object]
) -> None:
    for value in beyond(row.schema()):
        answer = asked(served, endpoint, wallet, key, row, value)
        assert answer.status == 400, (value, answer)
        if row in (ADDRESS, WALLETS):
            with pytest.raises(InvalidWallet) as refused:
                WalletAddress.parse(value)
            assert answer.detail == refused.value.message
        elif row is LAST_EVENT_ID:  # whose kind depends on the endpoint
            assert answer.detail.startswith("last_event_id is not an id ")
        else:
            assert answer.detail == row.refusal


def test_a_row_that_may_be_repeated_has_at_least_one_value_and_at_most_so_many(
    served: Server,
) -> None:
    schema = WALLETS.schema()
    assert (schema["minItems"], schema["maxItems"]) == (1, WALLETS.most)
    many = [f"{'1' * 31}{digit}" for digit in ALPHABET[: WALLETS.most + 1]]
    for wallets, status in ((many[:1], 200), (many[:-1], 200), ([], 400), (many, 400)):
        target = f"/v4/stream?{urlencode([('wallet', each) for each in wallets])}"
        answer = said(served, "get", target, {"Accept": "application/json"})
        assert answer == Said(status, WALLETS.count_refusal if status == 400 else "")


def test_a_sentence_names_the_bounds_of_its_row() -> None:
    bounded = [row for _, row in ROWS if "maximum" in row.schema()]
    assert bounded
    for row in bounded:
        assert f"from {row.schema()['minimum']} to {row.schema()['maximum']}" in row.refusal
    for row in [row for _, row in ROWS if "enum" in row.schema()]:
        assert all(choice in row.refusal for choice in row.schema()["enum"])


def test_what_is_missing_is_the_default_of_its_row() -> None:
    rows = [row for _, row in ROWS if isinstance(row, InQuery)]
    assert rows
    for row in rows:
        assert row.read({}) == row.default
        assert row.schema().get("default") == row.default


def test_a_key_or_token_may_stand_wherever_a_row_says(
    served: Server, key: str, wallet: str
) -> None:
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    made = Request(f"{served.url}/v4/auth/token", b"", headers)
    with urlopen(made, timeout=PATIENCE) as response:
        token = json.load(response)["access_token"]
    for row in CREDENTIALS:
        for secret, status in ((key, 200), (token, 200), (key[::-1], 401), (f"wd_{'0' * 32}", 401)):
            text = f"Bearer {secret}" if row is AUTHORIZATION else secret
            headers = {row.name: text} if row.place == "header" else {}
            query = {row.name: text} if row.place == "query" else {}
            target = f"/v4/wallet/{wallet}/stream?{urlencode(query)}"
            assert said(served, "get", target, headers).status == status, row.name


FIELDS = msgspec.json.schema(TokenRequest)["$defs"]["TokenRequest"]["properties"]


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_a_body_takes_what_is_described_and_nothing_beyond(
    served: Server, key: str, name: str
) -> None:
    schema = FIELDS[name]
    assert schema["description"]
    bounds = [schema[bound] for bound in ("minimum", "maximum") if bound in schema]
    right = [*schema["examples"], *bounds, None]
    wrong = ["nonsense", *(bound + step for bound, step in zip(bounds, (-1, 1), strict=False))]
    for value, status in [*((each, 200) for each in right), *((each, 400) for each in wrong)]:
        headers = {"X-API-Key": key, "Content-Type": "application/json"}
        body = json.dumps({name: value}).encode()
        answer = said(served, "post", "/v4/auth/token", headers, body)
        assert answer.status == status, (value, answer)
        assert not answer.detail or name in answer.detail
