"""A token or key for one wallet gets nothing of another, by any path that there is."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from eventsource import EventSource
from processes import Server, Simulator, server
from wire import Answer, exchange

JSON = ("Accept", "application/json")


class Tenants(NamedTuple):
    """Both wallets are analysed, `foreign` by somebody else: `owner`, whose stream of it is open.
    `guests` may read `own` only: a token, a key, and a token of that key for everything it may."""

    server: Server
    own: str
    foreign: str
    owner: str
    guests: dict[str, str]
    stream_id: str
    ids: list[str]
    signatures: list[str]


@pytest.fixture(scope="module")
def tenants(
    chain: Simulator, _small_wallets: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tenants]:
    own, foreign = next(_small_wallets), next(_small_wallets)
    folder = tmp_path_factory.mktemp("tenants")
    with server(folder, chain.url, API_KEY_REQUIRED="true") as srv:
        owner, limited = srv.key(), srv.key("--wallets", own)
        guests = {
            "token": token(srv, owner, wallets=[own]),
            "key": limited,
            "token of the key": token(srv, limited),
            "token of the key, for all": token(srv, limited, wallets=["*"]),
        }
        with EventSource(srv.stream(own), {"X-API-Key": limited}) as stream:
            stream.until("complete")
        url = srv.stream(foreign, "follow=true")
        with EventSource(url, {"X-API-Key": owner}) as stream:
            events = stream.until("complete")
            trades = [event.data for event in events if event.name == "trade"]
            yield Tenants(
                srv,
                own,
                foreign,
                owner,
                guests,
                stream.headers["X-Stream-ID"],
                [event.id for event in events if event.id],
                [trade["signature"] for trade in trades],
            )


def token(srv: Server, key: str, **asked: Any) -> str:
    body = json.dumps(asked).encode()
    headers = [("X-API-Key", key), ("Content-Type", "application/json")]
    answer = exchange(srv.url, "/v4/auth/token", method="POST", headers=headers, body=body)
    assert answer.status == 200, answer
    issued: str = answer.json()["access_token"]
    return issued


GUESTS = ["token", "key", "token of the key", "token of the key, for all"]


def asked(tenants: Tenants, guest: str, path: str, method: str = "GET") -> Answer:
    headers = [("Authorization", f"Bearer {tenants.guests[guest]}")]
    return exchange(tenants.server.url, path, method=method, headers=headers)


def assert_nothing_of_it(tenants: Tenants, answer: Answer) -> None:
    assert tenants.signatures
    assert not [text for text in tenants.signatures if text.encode() in answer.body]


def assert_forbidden(tenants: Tenants, answer: Answer) -> None:
    assert (answer.status, answer.problem()["code"]) == (403, "FORBIDDEN_WALLET")
    assert_nothing_of_it(tenants, answer)


@pytest.mark.parametrize("guest", GUESTS)
def test_its_own_wallet_is_open_to_a_guest(tenants: Tenants, guest: str) -> None:
    for resource in ("", "/trades", "/stream"):
        assert asked(tenants, guest, f"/v4/wallet/{tenants.own}{resource}").status == 200


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("resource", ["", "/trades", "/stream", "/stream?follow=true"])
def test_another_wallet_is_closed_whatever_is_asked_of_it(
    tenants: Tenants, guest: str, method: str, resource: str
) -> None:
    answer = asked(tenants, guest, f"/v4/wallet/{tenants.foreign}{resource}", method)
    if method == "HEAD":
        assert answer.status == 403
    else:
        assert_forbidden(tenants, answer)


@pytest.mark.parametrize("guest", GUESTS)
def test_an_id_of_another_wallet_opens_nothing(tenants: Tenants, guest: str) -> None:
    for position in (tenants.ids[0], tenants.ids[-1]):
        foreign = f"/v4/wallet/{tenants.foreign}"
        assert_forbidden(tenants, asked(tenants, guest, f"{foreign}/trades?after={position}"))
        stream = asked(tenants, guest, f"{foreign}/stream?last_event_id={position}")
        assert_forbidden(tenants, stream)
        own = f"/v4/wallet/{tenants.own}"
        page = asked(tenants, guest, f"{own}/trades?after={position}")
        assert page.status in (200, 410)
        assert_nothing_of_it(tenants, page)
        mine = asked(tenants, guest, f"{own}/stream?last_event_id={position}")
        assert_nothing_of_it(tenants, mine)


@pytest.mark.parametrize("guest", GUESTS)
def test_a_stream_of_several_wallets_is_closed_if_one_of_them_is(
    tenants: Tenants, guest: str
) -> None:
    for wallets in ([tenants.foreign], [tenants.own, tenants.foreign]):
        query = "&".join(f"wallet={wallet}" for wallet in wallets)
        answer = asked(tenants, guest, f"/v4/stream?{query}")
        assert_forbidden(tenants, answer)


@pytest.mark.parametrize("guest", GUESTS)
def test_another_wallet_is_closed_however_its_address_is_written(
    tenants: Tenants, guest: str
) -> None:
    address = tenants.foreign
    encoded = f"%{ord(address[0]):02x}{address[1:]}"
    for path in (f"/v4/wallet/{encoded}/stream", f"/v4/wallet/{encoded}"):
        assert_forbidden(tenants, asked(tenants, guest, path))
    absolute = f"{tenants.server.url}/v4/wallet/{address}"
    assert_forbidden(tenants, asked(tenants, guest, absolute))
    for path in (
        f"/v4/wallet/{tenants.own}/../{address}",
        f"/v4/wallet/{tenants.own}%2f..%2f{address}",
        f"/v4/wallet/{tenants.own},{address}",
        f"/v4/wallet/{tenants.own}?wallet={address}",
    ):
        assert_nothing_of_it(tenants, asked(tenants, guest, path))


@pytest.mark.parametrize("guest", GUESTS)
def test_the_streams_of_others_are_neither_seen_nor_closed(tenants: Tenants, guest: str) -> None:
    listed = asked(tenants, guest, "/v4/streams")
    assert tenants.stream_id.encode() not in listed.body
    assert tenants.foreign.encode() not in listed.body
    closed = asked(tenants, guest, f"/v4/streams/{tenants.stream_id}", "DELETE")
    missing = asked(tenants, guest, "/v4/streams/6e4cf0b8-3f3f-4c39-9f3e-3a3d8f1f6a2b", "DELETE")
    assert closed.status in (401, 404)
    assert (closed.status, closed.body) == (missing.status, missing.body)
    headers = [("X-API-Key", tenants.owner)]
    own = exchange(tenants.server.url, "/v4/streams", headers=headers).json()["streams"]
    assert [each["stream_id"] for each in own] == [tenants.stream_id]


@pytest.mark.parametrize("guest", ["key", "token"])
def test_no_token_for_another_wallet_is_to_be_had(tenants: Tenants, guest: str) -> None:
    for wallets in ([tenants.foreign], [tenants.own, tenants.foreign]):
        headers = [("X-API-Key", tenants.guests[guest]), ("Content-Type", "application/json")]
        body = json.dumps({"wallets": wallets}).encode()
        answer = exchange(
            tenants.server.url, "/v4/auth/token", method="POST", headers=headers, body=body
        )
        assert answer.status == (403 if guest == "key" else 401)


@pytest.mark.parametrize("guest", GUESTS)
def test_who_may_not_read_a_wallet_does_not_learn_whether_it_is_known(
    tenants: Tenants, guest: str, wallet: str
) -> None:
    """`wallet` was never analysed."""
    answers = [
        asked(tenants, guest, f"/v4/wallet/{address}") for address in (tenants.foreign, wallet)
    ]
    assert {answer.status for answer in answers} == {403}
