"""The simulation behind docs/scaling.md."""

from random import Random

from bench.scaling import ANSWER_SECONDS, DRAIN_SECONDS, JITTER, churn, storm

NODES = 134


def test_the_same_seed_gives_the_same_figures():
    assert storm(14, NODES, DRAIN_SECONDS, Random(1)) == storm(14, NODES, DRAIN_SECONDS, Random(1))
    assert churn(NODES, 2, Random(1)) == churn(NODES, 2, Random(1))


def test_a_drain_spreads_who_comes_back_over_its_time():
    found = storm(1, NODES, DRAIN_SECONDS, Random(1))
    assert DRAIN_SECONDS / 3 < found.p50 < DRAIN_SECONDS
    assert found.last <= DRAIN_SECONDS * (1 + JITTER)


def test_killed_nodes_bring_their_clients_at_once_and_the_queue_is_what_takes_time():
    few, many = storm(1, NODES, 0, Random(1)), storm(45, NODES, 0, Random(1))
    assert few.last < 2
    assert few.given_up == many.given_up == 0
    assert many.busy < many.last < ANSWER_SECONDS


def test_a_queue_longer_than_clients_wait_is_worked_off_partly_for_nobody():
    found = storm(90, NODES, 0, Random(1))
    assert found.given_up > 0
    assert found.last > ANSWER_SECONDS


def test_wallets_of_a_dead_node_are_taken_over_once_its_key_is_gone():
    found = churn(NODES, 10, Random(1))
    assert 7 <= found.p50 <= found.p99 <= found.last <= 13
    assert found.watched <= 1_000_000 // NODES


def test_more_nodes_of_a_wallet_ask_more():
    assert churn(NODES, 10, Random(1)).commands > 3 * churn(NODES, 2, Random(1)).commands
