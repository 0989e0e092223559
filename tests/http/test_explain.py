"""`GET /v4/wallet/{address}/explain/{signature}`, as a client asks for it."""

from typing import Any

import pytest
from eventsource import EventSource
from processes import Server, Simulator
from prometheus_client.parser import text_string_to_metric_families
from wire import Answer, exchange

UNKNOWN = "1" * 64
NEVER_ANALYSED = f"{'1' * 31}z"


@pytest.fixture(scope="module")
def trades(served: Server, wallet: str) -> list[dict[str, Any]]:
    with EventSource(f"{served.url}/v4/wallet/{wallet}/stream") as stream:
        events = stream.until("complete")
    return [event.data for event in events if event.name == "trade"]


@pytest.fixture(scope="module")
def movements(served: Server, wallet: str, trades: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.get(f"/v4/wallet/{wallet}/movements?limit=1000")[
        "movements"
    ]
    return found


def asked(served: Server, wallet: str, signature: str, **request: Any) -> Answer:
    return exchange(served.url, f"/v4/wallet/{wallet}/explain/{signature}", **request)


def test_a_sale_is_explained_by_what_came_before_it(
    served: Server, wallet: str, trades: list[dict[str, Any]], movements: list[dict[str, Any]]
) -> None:
    explained = 0
    for trade in trades:
        if trade["action"] != "sell" or trade["unmatched_amount"]:
            continue
        explanation = asked(served, wallet, trade["signature"]).json()
        told = explanation["trades"][trade["part"]]
        assert told["trade"] == trade
        assert (told["value_sol_from"] is None) == (trade["value_sol"] is None)
        amounts = [int(lot["amount_raw"]) for lot in told["lots"]]
        assert sum(amounts) == int(trade["token_in"]["amount_raw"])
        earlier = {
            each["signature"] for each in (*trades, *movements) if each["slot"] <= trade["slot"]
        }
        assert {lot["signature"] for lot in told["lots"] if lot["known"]} <= earlier
        explained += 1
    assert explained > 3


def test_a_movement_is_explained_by_its_postings(
    served: Server, wallet: str, movements: list[dict[str, Any]]
) -> None:
    movement = movements[-1]
    explanation = asked(served, wallet, movement["signature"]).json()
    assert explanation["reason"] == movement["reason"]
    assert explanation["postings"] == movement["postings"]
    assert explanation["trades"] == []


def test_head_is_answered_like_get(
    served: Server, wallet: str, movements: list[dict[str, Any]]
) -> None:
    signature = movements[0]["signature"]
    head = asked(served, wallet, signature, method="HEAD")
    whole = asked(served, wallet, signature)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


@pytest.mark.parametrize(
    ("signature", "status", "code", "said"),
    [
        (UNKNOWN, 404, "NOT_FOUND", "Nothing is stored of this transaction"),
        ("x", 400, "INVALID_PARAMETER", "signature must be"),
        ("1" * 63, 400, "INVALID_PARAMETER", "base58 of 64 bytes"),
        ("0" * 64, 400, "INVALID_PARAMETER", "base58 of 64 bytes"),
        ("%ff" * 64, 400, "INVALID_PARAMETER", "base58 of 64 bytes"),
        ("1" * 10_000, 400, "INVALID_PARAMETER", "base58 of 64 bytes"),
    ],
    ids=["not stored", "short", "63 bytes", "no base58", "no UTF-8", "long"],
)
def test_what_can_not_be_explained_is_refused_with_a_sentence(
    served: Server,
    wallet: str,
    trades: list[Any],
    signature: str,
    status: int,
    code: str,
    said: str,
) -> None:
    answer = asked(served, wallet, signature)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert said in answer.json()["detail"]


def test_a_wallet_that_was_never_analysed_has_none(served: Server) -> None:
    answer = asked(served, NEVER_ANALYSED, UNKNOWN)
    assert (answer.status, answer.json()["code"]) == (404, "UNKNOWN_WALLET")


def test_a_token_for_another_wallet_explains_nothing(
    served: Server, chain: Simulator, wallet: str, movements: list[dict[str, Any]]
) -> None:
    key = served.key("--wallets", chain.wallets[-1][0])
    answer = asked(served, wallet, movements[0]["signature"], headers=[("X-API-Key", key)])
    assert (answer.status, answer.json()["code"]) == (403, "FORBIDDEN_WALLET")


def test_explanations_are_counted(
    served: Server, wallet: str, movements: list[dict[str, Any]]
) -> None:
    before = counted(served)
    assert asked(served, wallet, movements[0]["signature"]).status == 200
    after = counted(served)
    assert after["walletdoctor_explanations"] == before["walletdoctor_explanations"] + 1
    assert after["walletdoctor_explanation_transactions"] > 0
    assert after["walletdoctor_explanations_refused"] == 0


def counted(served: Server) -> dict[str, float]:
    text = exchange(served.url, "/metrics").body.decode()
    return {
        family.name: family.samples[0].value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("walletdoctor_explanation")
    }
