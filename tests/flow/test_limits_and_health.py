"""What health says while a dependency is away, and when it is back."""

from pathlib import Path

import pytest
from eventsource import EventSource
from processes import server, simulator


@pytest.mark.parametrize("kind", ["quota", "bad_key"])
def test_an_upstream_that_refuses_degrades_health_until_it_answers_again(
    kind: str, tmp_path: Path
) -> None:
    with (
        simulator("--only", "--wallets", "5") as chain,
        server(tmp_path, chain.url) as srv,
    ):
        assert srv.get("/health")["dependencies"]["helius"] == "configured"
        chain.call("simFault", {"kind": kind})
        with EventSource(f"{srv.url}/v4/wallet/{chain.wallet(5)}/stream") as source:
            source.until("error")
        health = srv.get("/health")
        assert (health["status"], health["dependencies"]["helius"]) == ("degraded", "unavailable")
        if kind == "bad_key":
            chain.call("simReset")
            with EventSource(f"{srv.url}/v4/wallet/{chain.wallet(5)}/stream") as source:
                source.until("complete")
            assert srv.get("/health")["status"] == "healthy"


def test_a_wallet_larger_than_allowed_is_read_from_its_newest_and_says_so(tmp_path: Path) -> None:
    with (
        simulator("--only", "--wallets", "300") as chain,
        server(tmp_path / "whole", chain.url) as whole,
        server(tmp_path / "cut", chain.url, MAX_WALLET_SIZE=100) as cut,
    ):
        path = f"/v4/wallet/{chain.wallet(300)}/stream"
        with EventSource(whole.url + path) as source:
            everything = source.until("complete")
        with EventSource(cut.url + path) as source:
            newest = source.until("complete")
        assert everything[-1].data["truncated"] is False
        assert newest[-1].data["truncated"] is True
        assert newest[-1].data["metrics"]["transactions"] == 100
        signatures = [
            [event.data["signature"] for event in events if event.name == "trade"]
            for events in (everything, newest)
        ]
        assert 0 < len(signatures[1]) < len(signatures[0])
        assert signatures[0][-len(signatures[1]) :] == signatures[1]
