"""Trades that are pushed: what a follower sees of each way, of a fork, and of a budget's end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eventsource import Event, EventSource
from processes import Simulator, server, simulator

SIZE = 30
# No look comes by chance within a test.
RARELY = {"POLL_SECONDS": 3600}
# Passes: the first of a wallet, and the one when its subscription stands.
GAP_FILLED = 'analyses_total{outcome="complete"}'
# Transactions of one slot, all at once: more than wait for a pass, and than a tail may have.
BURST, BURSTS = 2600, 4


@pytest.fixture(scope="module")
def forking() -> Iterator[Simulator]:
    options = ("--only", "--warm", "--wallets", f"{SIZE}x8", "--end-time", "now")
    with simulator(*options, "--finalized", "3") as started:
        yield started


@pytest.fixture(scope="module")
def fresh(forking: Simulator) -> Iterator[str]:
    return iter([address for address, _ in forking.wallets])


@contextmanager
def _only_pushed(chain: Simulator, wallet: str, folder: Path) -> Iterator[EventSource]:
    """A follower who has seen everything there is; nothing is looked for by itself from now on."""
    with (
        server(folder, chain.url, CHECK_SECONDS=3600, **RARELY) as started,
        EventSource(started.stream(wallet, "follow=true")) as stream,
    ):
        stream.until("complete")
        started.wait_for_at_least(GAP_FILLED, 2)
        yield stream


@pytest.mark.parametrize("refused", ["403", "method-not-found"])
def test_without_transaction_subscribe_signatures_are_told_and_fetched(
    tmp_path: Path, refused: str
) -> None:
    options = ("--only", "--wallets", str(SIZE), "--end-time", "now")
    with simulator(*options, "--no-transaction-subscribe", refused) as chain:
        wallet = chain.wallet(SIZE)
        with _only_pushed(chain, wallet, tmp_path) as stream:
            before = chain.requests().get("getTransaction", 0)
            new = [each for each in chain.append(wallet, 10) if _visible(chain, wallet, each)]
            assert [e.data["signature"] for e in stream.take("trade", len(new))] == new
            assert chain.requests()["getTransaction"] > before


def test_a_burst_that_is_more_than_can_be_held_reaches_followers_whole(
    forking: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    wallet = next(fresh)
    with _only_pushed(forking, wallet, tmp_path) as stream:
        for _ in range(BURSTS):
            new = forking.append(wallet, BURST)
            sent: list[str] = []
            while len(sent) < len(new):
                event = stream.until("trade", "retract")[-1]
                assert event.name == "trade"
                sent.append(event.data["signature"])
            assert sorted(sent) == sorted(new)


def test_a_trade_that_left_the_chain_is_retracted_for_followers_of_one_wallet_and_of_several(
    forking: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    wallet, other = next(fresh), next(fresh)
    with server(tmp_path, forking.url, CHECK_SECONDS=1, **RARELY) as started:
        several = f"{started.url}/v4/stream?wallet={wallet}&wallet={other}&follow=true"
        with (
            EventSource(started.stream(wallet, "follow=true")) as stream,
            EventSource(several) as both,
        ):
            stream.until("complete")
            for _ in range(2):
                both.until("complete")
            started.wait_for_at_least(GAP_FILLED, 4)
            lost: list[str] = []
            sent: dict[str, Event] = {}
            while not lost:  # what the chain takes back lands again more often than not
                new = forking.append(wallet, 20)
                sent |= {e.data["signature"]: e for e in stream.take("trade", len(new))}
                abandoned = forking.call("simFork", 2)["lost"]
                lost = [signature for signature in abandoned if signature in sent]
            gone = []
            for event in stream:
                if event.name == "retract":
                    gone.append(event.data["signature"])
                    del sent[gone[-1]]
                elif event.name == "trade":
                    sent[event.data["signature"]] = event
                elif event.name == "summary" and set(lost) <= set(gone):
                    break
            assert not set(sent) & set(lost)
            told = both.until("retract")[-1]
            assert (told.data["wallet"], told.data["signature"]) == (wallet, gone[0])
            assert told.id
        pages = started.get(f"/v4/wallet/{wallet}/trades?limit=1000")
        on_page = {trade["signature"] for trade in pages["trades"]}
        assert set(sent) <= on_page
        assert not on_page & set(lost)
        assert set(lost) <= set(pages["retracted"])


def test_a_newcomer_and_one_who_does_not_stay_learn_of_retractions_too(
    forking: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    wallet = next(fresh)
    with server(tmp_path, forking.url, CHECK_SECONDS=1, **RARELY) as started:
        with EventSource(started.stream(wallet, "follow=true")) as stream:
            stream.until("complete")
            started.wait_for_at_least(GAP_FILLED, 2)
            stream.take("trade", len(forking.append(wallet, 20)))
            while not forking.call("simFork", 2)["lost"]:
                stream.take("trade", len(forking.append(wallet, 20)))
            stream.until("retract")
        held: set[tuple[str, int]] = set()
        with EventSource(started.stream(wallet, "batch=7")) as late:
            for event in late:
                if event.name == "trades":
                    held |= {(each["signature"], each["part"]) for each in event.data["trades"]}
                elif event.name == "retract":
                    gone = {key for key in held if key[0] == event.data["signature"]}
                    assert gone
                    held -= gone
        summary = started.get(f"/v4/wallet/{wallet}")["summary"]
        assert len(held) == summary["trades"]


def test_following_ends_with_the_days_budget_and_says_when_to_come_back(
    forking: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    wallet = next(fresh)
    with server(
        tmp_path, forking.url, UPSTREAM_DAILY_CREDITS=75, CHECK_SECONDS=1, POLL_SECONDS=1
    ) as started:
        with EventSource(started.stream(wallet, "follow=true")) as stream:
            stream.until("complete")
            for _ in range(10):
                forking.append(wallet, 1)
            error = stream.until("error")[-1]
        assert error.data["code"] == "UPSTREAM_QUOTA"
        assert 0 < error.data["details"]["retry_after"] <= 86_400
        assert error.retry is not None
        counts = started.metrics().items()
        spent = sum(n for name, n in counts if name.startswith("upstream_credits_total"))
        assert spent <= 75 + 20  # a call under way when the budget ended is paid as well


def test_a_pushed_trade_costs_no_look(
    forking: Simulator, fresh: Iterator[str], tmp_path: Path
) -> None:
    wallet = next(fresh)
    with _only_pushed(forking, wallet, tmp_path) as stream:
        before = forking.requests()["getTransactionsForAddress"]
        new = forking.append(wallet, 30)
        assert [e.data["signature"] for e in stream.take("trade", len(new))] == new
        summary = stream.until("summary")[-1].data
        assert summary["trades"] >= len(new)
        assert forking.requests()["getTransactionsForAddress"] == before


def _visible(chain: Simulator, wallet: str, signature: str) -> bool:
    """Logs mention accounts: a wallet that is only an owner isn't mentioned."""
    truths = chain.call("simTruth", wallet)
    return any(each["visible"] for each in truths if each["signature"] == signature)
