"""A server that is killed again and again, and a client that comes back each time."""

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any, NamedTuple

import pytest
from eventsource import Event, EventSource, Torn
from processes import Server, Simulator, server, simulator

KILLS = 20
# Transactions enough for 5,000 trades, from an upstream that takes its time (milliseconds).
TRANSACTIONS, LATENCY = 7200, 100
# A life ends at the latest after this share of the time in which the trades of an undisturbed
# server come.
LONGEST_LIFE = 0.4
# The share of lives that end so soon after the client came: before the first trade or after it.
EARLY = 0.2


class Undisturbed(NamedTuple):
    """What it told: its trades and movements, and its end; `seconds` from the first trade on."""

    told: list[dict[str, Any]]
    complete: dict[str, Any]
    seconds: float


@pytest.fixture(scope="module")
def slow_chain() -> Iterator[Simulator]:
    wallets = ("--only", "--warm", "--wallets", str(TRANSACTIONS))
    with simulator(*wallets, "--latency", str(LATENCY)) as started:
        yield started


@pytest.fixture(scope="module")
def undisturbed(slow_chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    data_dir = tmp_path_factory.mktemp("undisturbed")
    with (
        server(data_dir, slow_chain.url) as started,
        EventSource(_url(started, slow_chain)) as stream,
    ):
        events = stream.until("trade")
        first = monotonic()
        events += list(stream)
    return Undisturbed(_told(events), _totals(events[-1]), monotonic() - first)


def test_a_pass_killed_at_random_moments_loses_nothing_and_repeats_nothing(
    slow_chain: Simulator, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    kinds = ["action" in each for each in undisturbed.told]
    assert kinds.count(True) >= 5000
    assert kinds.count(False) >= 500
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    kills = runs = 0
    while kills < KILLS:
        data_dir = tmp_path / str(runs)
        data_dir.mkdir()
        victim = Server(data_dir, slow_chain.url)
        longest = undisturbed.seconds * LONGEST_LIFE
        events, killed = _run_with_kills(victim, slow_chain, chance, longest, KILLS - kills)
        kills += killed
        runs += 1

        (epoch,) = {event.id.split("-")[0] for event in events if event.id}
        assert [event.id for event in events] == [f"{epoch}-{n + 1}" for n in range(len(events))]
        assert _totals(events[-1]) == undisturbed.complete
        assert _told(events) == undisturbed.told
    print(f"{kills} kills in {runs} runs")


def _run_with_kills(
    victim: Server, chain: Simulator, chance: random.Random, longest: float, most: int
) -> tuple[list[Event], int]:
    """What a client gets of one epoch, events with an id, and how often the server was killed while
    the client had a part of them."""
    events: list[Event] = []
    kills = 0
    while not events or events[-1].name != "complete":
        victim.start()
        killer = Timer(chance.uniform(0, longest), victim.kill)
        if kills < most and chance.random() < EARLY:
            killer.start()
        with suppress(Torn, ConnectionError):
            position = {"Last-Event-ID": str(events[-1].id)} if events else {}
            with EventSource(_url(victim, chain), position) as stream:
                for event in stream:
                    assert event.name not in ("error", "gap"), event
                    if event.id:
                        events.append(event)
                        if kills < most and killer.ident is None:
                            killer.start()
        killer.cancel()
        if killer.ident is not None:
            killer.join()
        kills += bool(events) and events[-1].name != "complete"
    victim.kill()
    return events, kills


def _url(started: Server, chain: Simulator) -> str:
    return f"{started.url}/v4/wallet/{chain.wallet(TRANSACTIONS)}/stream?include=movements"


def _told(events: list[Event]) -> list[dict[str, Any]]:
    """Trades and movements, without the moment at which each was stored, and without the tokens'
    names: a sync pass waits for them so long and no longer."""
    told = [event.data for event in events if event.name in ("trade", "movement")]
    for each in told:
        del each["emitted_at"]
        legs = [each[leg] for leg in ("token_in", "token_out") if leg in each]
        for named in (*legs, *each.get("postings", ())):
            named.pop("symbol", None)
    return told


def _totals(complete: Event) -> dict[str, Any]:
    """What doesn't depend on when and how fast it was found."""
    assert complete.name == "complete"
    # The balances are held against the chain as it is at the end of the pass.
    for moment in ("slot", "checked_at"):
        del complete.data["reconciliation"][moment]
    # The digests are over ids and times, too.
    passing = ("duration", "timestamp", "digest", "digest_all")
    return {k: v for k, v in complete.data.items() if k not in passing}
