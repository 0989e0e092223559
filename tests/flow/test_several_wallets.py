"""Several wallets on one connection, with real processes: killed, slow, live, sent away."""

import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer

import pytest
from eventsource import Event, EventSource, Torn
from processes import Server, Simulator, server, simulator

KILLS = 6
# Wallets that take a while from an upstream that takes its time (milliseconds).
TRANSACTIONS, WALLETS, LATENCY = 900, 4, 100
LONGEST_LIFE = 1.0
APPENDED = 20
# Small wallets for the tests that want some of their own, three each.
SMALL, SMALL_WALLETS = 60, 9

# A trade's signature and its part: one transaction may hold several trades.
Key = tuple[str, int]


@pytest.fixture(scope="module")
def slow_chain() -> Iterator[Simulator]:
    wallets = ("--only", "--warm", "--wallets", f"{TRANSACTIONS}x{WALLETS}")
    with simulator(*wallets, "--latency", str(LATENCY)) as started:
        yield started


@pytest.fixture(scope="module")
def small_chain() -> Iterator[Simulator]:
    """Its time is ours: what is pushed is dated by its receipt."""
    wallets = ("--wallets", f"{SMALL}x{SMALL_WALLETS}")
    with simulator("--only", "--warm", "--end-time", "now", *wallets) as started:
        yield started


@pytest.fixture(scope="module")
def unread(small_chain: Simulator) -> Iterator[str]:
    return iter([address for address, _ in small_chain.wallets])


@pytest.fixture
def wallets(unread: Iterator[str]) -> list[str]:
    """Small ones that no other test has asked for."""
    return [next(unread) for _ in range(3)]


def url(started: Server, wallets: list[str], *more: str) -> str:
    query = [*(f"wallet={wallet}" for wallet in wallets), *more]
    return f"{started.url}/v4/stream?" + "&".join(query)


def keys(events: list[Event]) -> list[Key]:
    return [(each.data["signature"], each.data["part"]) for each in events if each.name == "trade"]


def keys_of(events: list[Event], wallet: str) -> list[Key]:
    return keys([each for each in events if each.data.get("wallet") == wallet])


def alone(started: Server, wallet: str) -> list[Key]:
    """What the wallet's own stream has."""
    with EventSource(started.stream(wallet)) as stream:
        return keys(list(stream))


def test_a_server_that_is_killed_again_and_again_loses_and_repeats_nothing(
    slow_chain: Simulator, tmp_path: Path
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    addresses = [address for address, _ in slow_chain.wallets]
    victim = Server(tmp_path, slow_chain.url)
    events: list[Event] = []
    kills = 0
    while sum(each.name == "complete" for each in events) < WALLETS:
        victim.start()
        killer = Timer(chance.uniform(0, LONGEST_LIFE), victim.kill)
        if kills < KILLS:
            killer.start()
        with suppress(Torn, ConnectionError):
            position = {"Last-Event-ID": str(events[-1].id)} if events else {}
            with EventSource(url(victim, addresses), position) as stream:
                for event in stream:
                    assert event.name not in ("error", "gap"), event
                    if event.id:
                        events.append(event)
        killer.cancel()
        if killer.ident is not None:
            killer.join()
            kills += 1
        if victim.process is not None and victim.process.poll() is None:
            victim.kill()
    print(f"{kills} kills, {len(events)} events")
    assert kills >= 2

    with server(tmp_path, slow_chain.url) as again:
        for wallet in addresses:
            seen = keys_of(events, wallet)
            assert len(seen) > TRANSACTIONS / 3
            assert seen == alone(again, wallet)
        last = {"Last-Event-ID": str(events[-1].id)}
        with EventSource(url(again, addresses), last) as stream:
            assert stream.status == 204


def test_a_follower_gets_each_wallets_new_trades_once_and_goes_on_where_it_was(
    small_chain: Simulator, wallets: list[str], tmp_path: Path
) -> None:
    with server(tmp_path, small_chain.url, POLL_SECONDS=1) as started:
        with EventSource(url(started, wallets, "follow=true")) as stream:
            events = [event for _ in wallets for event in stream.until("complete")]
            new = {wallet: small_chain.append(wallet, APPENDED) for wallet in wallets}
            waited = {trades[-1] for trades in new.values()}
            for event in stream:
                events.append(event)
                waited.discard(event.data.get("signature", ""))
                if not waited:
                    break
        newer = {wallet: small_chain.append(wallet, APPENDED) for wallet in wallets}
        last = [each.id for each in events if each.id][-1]
        with EventSource(url(started, wallets, f"last_event_id={last}")) as stream:
            events += list(stream)
        assert "gap" not in [each.name for each in events]
        for wallet in wallets:
            seen, appended = keys_of(events, wallet), new[wallet] + newer[wallet]
            assert [signature for signature, _ in seen[-len(appended) :]] == appended
            assert seen == alone(started, wallet)


def test_who_reads_late_gets_everything_and_a_small_wallet_waits_for_no_large_one(
    chain: Simulator, large_wallet: str, wallet: str, analysed: Path
) -> None:
    with server(analysed, chain.url) as started:
        small = alone(started, wallet)
        with EventSource(url(started, [large_wallet, wallet]), receive_buffer=4096) as stream:
            started.wait_for('analyses_total{outcome="complete"}', 2)
            assert started.metrics()["bytes_sent"] < 4_000_000
            events = list(stream)
        order = [each.data["wallet"] for each in events if each.id]
        large = keys_of(events, large_wallet)
        assert len(large) == len(set(large)) >= 5000
        assert large == alone(started, large_wallet)
        assert keys_of(events, wallet) == small
        assert order.index(wallet) < 2000


def test_a_server_that_stops_says_so_once_and_the_client_goes_on_elsewhere(
    small_chain: Simulator, wallets: list[str], tmp_path: Path
) -> None:
    with server(tmp_path, small_chain.url) as started:
        with EventSource(url(started, wallets, "follow=true")) as stream:
            events = [event for _ in wallets for event in stream.until("complete")]
            started.signal(signal.SIGTERM)
            rest = list(stream)
        (bye,) = [each for each in rest if each.name == "bye"]
        assert rest[-1] == bye
        assert bye.data["reason"] == "shutdown"
        assert bye.retry == bye.data["reconnect_after_ms"]
        started.stop()
        started.start()
        last = [each.id for each in events if each.id][-1]
        with EventSource(url(started, wallets, "follow=true"), {"Last-Event-ID": last}) as stream:
            assert next(iter(stream)).data["resumed"] is True


def test_one_wallet_that_cannot_be_read_ends_the_stream_and_is_named(
    wallets: list[str], tmp_path: Path
) -> None:
    with server(tmp_path, None) as started:
        with EventSource(url(started, wallets)) as stream:
            last = list(stream)[-1]
        assert (last.name, last.data["code"]) == ("error", "UPSTREAM_REJECTED")
        assert last.data["wallet"] in wallets
