from math import inf

import pytest
from wd_client.backoff import (
    FIRST_SECONDS,
    JITTER,
    LAST_SECONDS,
    LONGEST_SECONDS,
    STEADY_SECONDS,
    Backoff,
)


def waits(backoff: Backoff, times: int) -> list[float | None]:
    return [backoff.wait(0.0) for _ in range(times)]


def test_attempts_that_fail_double_the_wait_up_to_a_bound() -> None:
    backoff = Backoff(inf, lambda: 0.0)
    assert waits(backoff, 7) == [1, 2, 4, 8, 16, LAST_SECONDS, LAST_SECONDS]


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_nobody_is_back_before_they_were_told_and_not_all_at_once(chance: float) -> None:
    backoff = Backoff(inf, lambda: chance)
    backoff.told(8.0)
    assert backoff.wait(0.0) == 8.0 * (1 + JITTER * chance)


def test_what_was_told_holds_for_one_wait() -> None:
    backoff = Backoff(inf, lambda: 0.0)
    backoff.told(8.0)
    assert waits(backoff, 2) == [8, 2]


def test_a_wait_that_ends_after_patience_is_not_begun() -> None:
    backoff = Backoff(10.0, lambda: 0.0)
    assert backoff.wait(100.0) == 1
    assert backoff.wait(107.9) == 2
    assert backoff.wait(107.0) is None


def test_to_be_told_of_half_an_hour_is_too_late_at_once() -> None:
    backoff = Backoff(60.0, lambda: 0.0)
    backoff.told(1800.0)
    assert backoff.wait(0.0) is None


@pytest.mark.parametrize(("told", "waits"), [(inf, LONGEST_SECONDS), (1e300, 86400), (-1, 0)])
def test_a_time_that_is_none_is_bounded(told: float, waits: float) -> None:
    backoff = Backoff(inf, lambda: 0.0)
    backoff.told(told)
    assert backoff.wait(0.0) == waits


def test_what_was_stored_shows_that_the_stream_is_back() -> None:
    backoff = Backoff(10.0, lambda: 0.0)
    assert backoff.wait(0.0) == FIRST_SECONDS
    backoff.succeeded()
    assert backoff.wait(100.0) == FIRST_SECONDS


def test_a_server_that_lets_in_and_ends_at_once_tires_patience() -> None:
    backoff = Backoff(3.0, lambda: 0.0)
    assert backoff.wait(0.0) == 1
    backoff.connected(1.0)
    assert backoff.wait(1.0) == 2
    backoff.connected(3.0)
    assert backoff.wait(3.0) is None


def test_a_quiet_stream_that_stood_for_a_while_was_one() -> None:
    backoff = Backoff(3.0, lambda: 0.0)
    assert backoff.wait(0.0) == 1
    backoff.connected(1.0)
    assert backoff.wait(1.0 + STEADY_SECONDS) == FIRST_SECONDS
