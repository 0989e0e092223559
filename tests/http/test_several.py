"""Several wallets on one connection: what may be asked, by whom, and what comes back."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from eventsource import Event, EventSource, read_event
from processes import Server, Simulator, server
from wire import Answer, exchange

from handlers.parameters import ALIASES
from wd_tools.simulator import base58

JSON = ("Accept", "application/json")
EVENTS = ("Accept", "text/event-stream")
MANY = 50


@pytest.fixture(scope="module")
def wallets(chain: Simulator) -> list[str]:
    return [address for address, _ in chain.wallets]


@pytest.fixture(scope="module")
def events(served: Server, wallets: list[str]) -> list[Event]:
    """All of these wallets."""
    with EventSource(served.url + several(wallets)) as stream:
        return list(stream)


@pytest.fixture(scope="module")
def guarded(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("guarded")
    with server(folder, chain.url, API_KEY_REQUIRED="true") as started:
        yield started


def several(wallets: list[str], *more: str) -> str:
    return "/v4/stream?" + "&".join([*(f"wallet={wallet}" for wallet in wallets), *more])


def bearer(credential: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {credential}"


def stored(events: list[Event]) -> list[Event]:
    return [each for each in events if each.id is not None]


def of(wallet: str, events: list[Event]) -> list[Any]:
    """What is stored of this wallet. Between wallets there is no order."""
    return [each.data for each in stored(events) if each.data["wallet"] == wallet]


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.problem()["code"]


def error_event(answer: Answer) -> str:
    """The code in a stream of one error."""
    assert (answer.status, answer.media_type) == (200, "text/event-stream")
    (line,) = [line for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
    code: str = json.loads(line[6:])["code"]
    return code


def test_every_wallet_has_the_events_of_its_own_stream(
    served: Server, wallets: list[str], events: list[Event]
) -> None:
    assert len(wallets) >= 3
    connected = events[0]
    assert connected.name == "connected"
    assert (connected.data["wallet"], connected.data["wallets"]) == (None, wallets)
    for wallet in wallets:
        with EventSource(served.stream(wallet)) as stream:
            alone = [(each.name, each.data) for each in stored(list(stream))]
        own = [(each.name, each.data) for each in stored(events) if each.data["wallet"] == wallet]
        assert own[-1][0] == "complete"
        assert own == [(name, {"wallet": wallet, **data}) for name, data in alone]


def test_a_client_goes_on_behind_any_id_by_header_or_query(
    served: Server, wallets: list[str], events: list[Event]
) -> None:
    kept = stored(events)
    for at in (0, len(kept) // 2, len(kept) - 2):
        last = str(kept[at].id)
        with EventSource(served.url + several(wallets), {"Last-Event-ID": last}) as stream:
            by_header = list(stream)
        with EventSource(served.url + several(wallets, f"last_event_id={last}")) as stream:
            by_query = list(stream)
        for again in (by_header, by_query):
            assert again[0].data["resumed"] is True
            for wallet in wallets:
                assert [each.data for each in stored(again) if each.data["wallet"] == wallet] == [
                    each.data for each in kept[at + 1 :] if each.data["wallet"] == wallet
                ]


def test_who_has_everything_is_told_to_stop(
    served: Server, wallets: list[str], events: list[Event]
) -> None:
    last = ("Last-Event-ID", str(stored(events)[-1].id))
    assert exchange(served.url, several(wallets), headers=[last]).status == 204
    assert exchange(served.url, several(wallets[:2]), headers=[last]).status == 204


def test_filters_batches_and_prices_are_asked_for_as_of_one_wallet(
    served: Server, wallets: list[str], events: list[Event]
) -> None:
    trades = [each.data for each in events if each.name == "trade"]
    sold = [trade["signature"] for trade in trades if trade["action"] == "sell"]
    with EventSource(served.url + several(wallets, "side=sell", "skip_pricing=true")) as stream:
        asked = [each.data for each in stream if each.name == "trade"]
    assert sorted(trade["signature"] for trade in asked) == sorted(sold)
    assert not any(trade["priced"] for trade in asked)
    with EventSource(served.url + several(wallets, "batch=50")) as stream:
        batches = [each.data for each in stream if each.name == "trades"]
    assert all(batch["wallet"] in wallets for batch in batches)
    assert sum(len(batch["trades"]) for batch in batches) == len(trades)


def test_a_wallet_that_is_named_twice_counts_once(served: Server, wallets: list[str]) -> None:
    with EventSource(served.url + several(wallets[:1] * (MANY + 1), "follow=true")) as stream:
        assert next(iter(stream)).data["wallets"] == wallets[:1]


def test_fifty_wallets_are_few_enough(served: Server, wallets: list[str]) -> None:
    addresses = _addresses(MANY - len(wallets)) + wallets
    with EventSource(served.url + several(addresses, "follow=true")) as stream:
        assert next(iter(stream)).data["wallets"] == addresses


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "INVALID_PARAMETER"),
        ("?follow=true", "INVALID_PARAMETER"),
        ("?wallet=", "INVALID_WALLET"),
        ("?wallet=x", "INVALID_WALLET"),
        ("?wallet={wallet}&wallet=%0d%0aX-A:b", "INVALID_WALLET"),
        ("?wallet={wallet},{wallet}", "INVALID_WALLET"),
        ("?wallet={wallet}&batch=0", "INVALID_PARAMETER"),
        ("?wallet={wallet}&last_event_id=1882685741609896-7", "INVALID_PARAMETER"),
        ("?wallet={wallet}&last_event_id=%0d%0a", "INVALID_PARAMETER"),
        ("?wallet={wallet}&last_event_id=" + "A" * 3000, "INVALID_PARAMETER"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    served: Server, wallet: str, query: str, code: str
) -> None:
    target = "/v4/stream" + query.format(wallet=wallet)
    assert refusal(exchange(served.url, target, headers=[JSON])) == (400, code)
    assert error_event(exchange(served.url, target, headers=[EVENTS])) == code


def test_more_than_fifty_wallets_are_refused(served: Server) -> None:
    target = several(_addresses(MANY + 1))
    assert refusal(exchange(served.url, target, headers=[JSON])) == (400, "INVALID_PARAMETER")


def test_an_id_that_was_changed_is_refused_where_it_can_be_dropped(
    served: Server, wallets: list[str], events: list[Event]
) -> None:
    last = str(stored(events)[5].id)
    for at in range(0, len(last), 7):
        changed = last[:at] + ("A" if last[at] != "A" else "B") + last[at + 1 :]
        target = several(wallets, f"last_event_id={changed}")
        answer = exchange(served.url, target, headers=[JSON])
        assert refusal(answer) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("accept", [JSON, EVENTS])
def test_an_unreadable_id_that_cannot_be_dropped_is_a_gap_for_each_wallet(
    served: Server,
    wallets: list[str],
    events: list[Event],
    accept: tuple[str, str],
) -> None:
    """An EventSource whose server has another secret now would be refused for ever."""
    last = str(stored(events)[5].id)
    for text in (last[:-1], "A" * 3000, "1882685741609896-7", "\xe9"):
        header = [accept, ("Last-Event-ID", text)]
        by_alias = f"{several(wallets)}&{urlencode({'lastEventId': text})}"
        for answer in (
            exchange(served.url, several(wallets), headers=header),
            exchange(served.url, by_alias, headers=[accept]),
        ):
            connected, *rest = map(read_event, answer.body.split(b"\n\n")[:-1])
            assert connected.data["resumed"] is False
            gaps = [event.data for event in rest if event.name == "gap"]
            assert [gap["wallet"] for gap in gaps] == wallets
            assert {(gap["reason"], gap["from"]) for gap in gaps} == {("unknown_id", "")}
            for wallet in wallets:
                assert of(wallet, rest) == of(wallet, events)


def test_a_polyfill_resumes_several_wallets_by_its_own_name_for_the_id(
    served: Server, wallets: list[str], events: list[Event]
) -> None:
    kept = stored(events)
    for alias in ALIASES:
        target = several(wallets, f"last_event_id={kept[0].id}", f"{alias}={kept[4].id}")
        with EventSource(served.url + target) as stream:
            again = list(stream)
        assert again[0].data["resumed"] is True
        for wallet in wallets:
            assert of(wallet, again) == of(wallet, kept[5:])


def test_a_heartbeat_is_asked_for_as_of_one_wallet(served: Server, wallets: list[str]) -> None:
    with EventSource(served.url + several(wallets, "heartbeat=20")) as stream:
        assert next(iter(stream)).data["heartbeat_seconds"] == 20
    answer = exchange(served.url, several(wallets, "heartbeat=1"), headers=[JSON])
    assert refusal(answer) == (400, "INVALID_PARAMETER")


def test_its_head_is_a_streams_and_never_compressed(served: Server, wallets: list[str]) -> None:
    gzip = ("Accept-Encoding", "gzip")
    answer = exchange(served.url, several(wallets), method="HEAD", headers=[gzip])
    assert (answer.status, answer.media_type) == (200, "text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in answer.headers
    whole = exchange(served.url, several(wallets), headers=[gzip])
    assert "content-encoding" not in whole.headers
    assert whole.headers["x-stream-id"].encode() in whole.body


def test_one_wallet_that_may_not_be_read_refuses_them_all(
    guarded: Server, wallets: list[str]
) -> None:
    key = guarded.key("--wallets", wallets[0])
    for method in ("GET", "HEAD"):
        answer = exchange(guarded.url, several(wallets), method=method, headers=[bearer(key)])
        assert answer.status == 403
    answer = exchange(guarded.url, several(wallets), headers=[bearer(key), EVENTS])
    assert refusal(answer) == (403, "FORBIDDEN_WALLET")
    assert exchange(guarded.url, several(wallets[:1]), headers=[bearer(key)]).status == 200
    assert refusal(exchange(guarded.url, several(wallets))) == (401, "AUTH_REQUIRED")


def test_an_id_is_of_use_to_its_tenant_only(guarded: Server, wallets: list[str]) -> None:
    mine, other = guarded.key(), guarded.key()
    with EventSource(guarded.url + several(wallets), dict([bearer(mine)])) as stream:
        kept = stored(list(stream))
    last = ("Last-Event-ID", str(kept[-2].id))
    target = several(wallets, f"last_event_id={last[1]}")
    foreign = exchange(guarded.url, target, headers=[bearer(other), JSON])
    assert refusal(foreign) == (400, "INVALID_PARAMETER")
    assert b"signature" not in foreign.body
    replayed = exchange(guarded.url, several(wallets), headers=[bearer(other), last])
    assert replayed.body.count(b"event: gap\n") == len(wallets)

    token = _token(guarded, mine, wallets)
    with EventSource(guarded.url + several(wallets), dict([bearer(token), last])) as stream:
        rest = stored(list(stream))
    assert [each.data for each in rest] == [kept[-1].data]
    # It opens no wallet to who may not read it any more.
    narrow = _token(guarded, mine, wallets[:1])
    assert exchange(guarded.url, several(wallets), headers=[bearer(narrow), last]).status == 403


def test_it_counts_as_one_stream_and_is_listed_once(guarded: Server, wallets: list[str]) -> None:
    key = guarded.key("--streams", "1", "--requests", "10")
    headers = dict([bearer(key)])
    with EventSource(guarded.url + several(wallets, "follow=true"), headers) as stream:
        connected = next(iter(stream))
        answer = exchange(guarded.url, several(wallets), headers=[bearer(key), JSON])
        assert refusal(answer) == (429, "TOO_MANY_STREAMS")
        (listed,) = guarded.get("/v4/streams", headers)["streams"]
        assert listed["stream_id"] == connected.data["stream_id"]
        assert listed["wallets"] == wallets
        path = f"/v4/streams/{connected.data['stream_id']}"
        closed = exchange(guarded.url, path, method="DELETE", headers=[bearer(key)])
        assert closed.status == 204
        last = list(stream)[-1]
    assert (last.name, last.data["reason"]) == ("bye", "closed_by_owner")
    guarded.wait_for("active_streams", 0)
    with EventSource(guarded.url + several(wallets), headers) as again:
        assert again.status == 200


def _token(srv: Server, key: str, wallets: list[str]) -> str:
    asked: dict[str, Any] = {"wallets": wallets, "seconds": 60}
    answer = exchange(
        srv.url,
        "/v4/auth/token",
        method="POST",
        headers=[bearer(key), ("Content-Type", "application/json")],
        body=json.dumps(asked).encode(),
    )
    token: str = answer.json()["access_token"]
    return token


def _addresses(count: int) -> list[str]:
    """Right ones that the simulated chain doesn't know."""
    return [base58.encode(bytes([number]) * 32) for number in range(1, count + 1)]
