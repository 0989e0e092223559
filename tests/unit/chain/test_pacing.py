import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.chain.pacing import (
    BACKOFF_BASE,
    BACKOFF_CAP,
    CircuitBreaker,
    TokenBucket,
    backoff,
)


def test_a_full_bucket_gives_its_burst_at_once_and_then_one_token_per_interval():
    bucket = TokenBucket(rate=10, burst=2)
    waits = [bucket.take(100.0) for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0.1, 0.2, 0.3])


def test_an_idle_bucket_saves_up_no_more_than_its_burst():
    bucket = TokenBucket(rate=10, burst=2)
    bucket.take(0.0, 2)
    assert [bucket.take(3600.0) for _ in range(3)] == pytest.approx([0, 0, 0.1])


def test_takers_that_wait_as_told_never_exceed_the_rate():
    bucket = TokenBucket(rate=5, burst=1)
    times = sorted(now + bucket.take(now) for now in [0.0, 0.1, 0.1, 0.2, 0.9, 1.0])
    assert all(b - a >= 0.2 - 1e-9 for a, b in itertools.pairwise(times))


def test_a_reservation_given_back_is_there_for_the_next():
    bucket = TokenBucket(rate=1, burst=1)
    bucket.take(0.0)
    assert bucket.take(0.0) == 1.0
    bucket.give_back()
    assert bucket.take(0.0) == 1.0


def test_what_is_left_counts_those_who_wait_and_reserves_nothing():
    bucket = TokenBucket(rate=10, burst=2)
    assert [bucket.left(0.0), bucket.left(0.0)] == [2, 2]
    bucket.take(0.0, 5)
    assert bucket.left(0.0) == -3
    assert bucket.left(0.4) == pytest.approx(1)


def test_giving_back_never_overfills_a_bucket():
    bucket = TokenBucket(rate=1, burst=1)
    bucket.give_back(50)
    assert [bucket.take(0.0), bucket.take(0.0)] == [0.0, 1.0]


def test_a_drained_bucket_refills_from_nothing():
    bucket = TokenBucket(rate=2, burst=10)
    bucket.drain(0.0)
    assert bucket.take(0.0) == 0.5


def test_draining_does_not_forgive_what_is_reserved_already():
    bucket = TokenBucket(rate=1, burst=1)
    bucket.take(0.0, 4)
    bucket.drain(0.0)
    assert bucket.take(0.0) == 4.0


def test_a_clock_that_goes_back_takes_nothing_away():
    bucket = TokenBucket(rate=1, burst=1)
    bucket.take(100.0)
    assert bucket.take(50.0) == 1.0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_never_fills_is_refused(rate: float, burst: float):
    with pytest.raises(ValueError, match="above 0"):
        TokenBucket(rate, burst)


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_backoff_is_within_its_bounds_for_any_attempt(attempt: int, random: float):
    wait = backoff(attempt, random)
    assert 0 <= wait <= min(BACKOFF_CAP, BACKOFF_BASE * 2.0 ** min(attempt, 100))


def test_backoff_doubles_until_its_cap():
    assert [backoff(n, 1.0) for n in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_backoff_never_waits_less_than_the_upstream_asks_for():
    assert backoff(0, 0.0, retry_after=7.0) == 7.0
    assert backoff(3, 0.5, retry_after=7.0) > 7.0


def test_a_closed_breaker_lets_everything_through():
    breaker = CircuitBreaker(600, 60)
    assert breaker.is_closed
    assert all(breaker.admit(0.0) for _ in range(3))


def test_a_tripped_breaker_stops_everything_and_tells_for_how_long():
    breaker = CircuitBreaker(600, 60)
    breaker.trip(0.0)
    assert not breaker.admit(599.0)
    assert breaker.remaining(599.0) == 1.0
    assert not breaker.is_closed


def test_a_half_open_breaker_lets_one_probe_through_and_waits_for_it():
    breaker = CircuitBreaker(600, 60)
    breaker.trip(0.0)
    assert breaker.admit(600.0)
    assert not breaker.admit(600.0)
    assert breaker.remaining(600.0) == 60.0


def test_a_probe_that_succeeds_closes_the_breaker():
    breaker = CircuitBreaker(600, 60)
    breaker.trip(0.0)
    breaker.admit(600.0)
    breaker.reset()
    assert breaker.is_closed
    assert breaker.admit(601.0)


def test_a_probe_that_fails_opens_the_breaker_for_the_whole_time_again():
    breaker = CircuitBreaker(600, 60)
    breaker.trip(0.0)
    breaker.admit(600.0)
    breaker.trip(601.0)
    assert breaker.remaining(601.0) == 600.0


def test_a_probe_that_never_reports_is_followed_by_another():
    breaker = CircuitBreaker(600, 60)
    breaker.trip(0.0)
    assert breaker.admit(600.0)
    assert breaker.admit(660.0)
