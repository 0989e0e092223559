"""The server's books held against the simulator's accounts, over HTTP as a client sees it."""

import re
from pathlib import Path
from typing import Any

import pytest
from demo import demo
from eventsource import EventSource
from processes import server, simulator

# How the chain is read: the signatures of a wallet don't list what only its token accounts took
# part in, so the books have to find that by the accounts.
UPSTREAMS = [(), ("--no-gtfa", "403"), ("--no-gtfa", "method-not-found")]


def complete_of(url: str, wallet: str) -> dict[str, Any]:
    with EventSource(f"{url}/v4/wallet/{wallet}/stream?batch=500") as stream:
        events = stream.until("complete", "error")
    assert events[-1].name == "complete"
    data: dict[str, Any] = events[-1].data
    return data


@pytest.mark.parametrize("options", UPSTREAMS, ids=lambda options: options[-1:] or "gtfa")
def test_books_agree_with_the_chain_to_the_lamport(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    only = ("--only", "--wallets", "1200", "--seed", "11", *options)
    with simulator(*only) as chain, server(tmp_path, chain.url) as served:
        wallet = chain.wallet(1200)
        complete = complete_of(served.url, wallet)
        truths = chain.call("simTruth", wallet)
    got = complete["reconciliation"]
    assert (got["status"], got["reason"], got["differences"]) == ("agrees", None, [])
    assert got["sol"]["difference"] == got["opening_sol"] == 0
    assert got["sol"]["chain"] == got["sol"]["books"] == got["closing_sol"] > 0
    assert got["tokens_agree"] > 10
    assert complete["metrics"]["transactions"] == len(truths)


def test_every_wallet_that_the_demo_prints_agrees() -> None:
    with demo() as (_, printed):
        (page,) = set(re.findall(r"Open (http://[^/\s]+)", printed))
        wallets = re.findall(r"(?m)^  (\w{32,44})  [\d,]+ transactions$", printed)
        assert len(wallets) == 3
        for wallet in wallets:
            complete = complete_of(page, wallet)
            got = complete["reconciliation"]
            # The largest one trades on, and soon has more transactions than are read.
            reason = "truncated" if complete["truncated"] else None
            assert (got["status"], got["reason"]) == ("agrees", reason)
            assert got["tokens_agree"] > 0
