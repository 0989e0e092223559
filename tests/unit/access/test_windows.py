"""The sliding minute."""

from hypothesis import given
from hypothesis import strategies as st

from wd_server.access.windows import UNLIMITED, Usage, Windows

NOW = 1_699_999_980.0


def test_headers_are_of_the_form_of_the_draft() -> None:
    assert Usage(True, 50, 12, 34).headers() == {
        "RateLimit-Policy": '"default";q=50;w=60',
        "RateLimit": '"default";r=12;t=34',
    }
    assert UNLIMITED.headers() == {}


def test_a_look_counts_nothing() -> None:
    windows = Windows()
    assert windows.peek("who", 1, NOW).allowed
    assert windows.peek("who", 1, NOW).allowed
    assert windows.spend("who", 1, NOW).allowed
    assert not windows.peek("who", 1, NOW).allowed
    assert len(windows) == 1


def test_the_table_does_not_grow_beyond_its_bound() -> None:
    windows = Windows(most=100)
    windows.spend("first", 1, NOW)
    for number in range(100):
        windows.spend(str(number), 1, NOW)
    assert len(windows) == 100
    assert windows.peek("first", 1, NOW).allowed
    assert not windows.peek("99", 1, NOW).allowed


def test_who_is_counted_often_is_not_forgotten_first() -> None:
    windows = Windows(most=2)
    windows.spend("often", 2, NOW)
    windows.spend("once", 2, NOW)
    windows.spend("often", 2, NOW)
    windows.spend("new", 2, NOW)
    assert not windows.peek("often", 2, NOW).allowed


@given(
    st.integers(1, 20),
    st.lists(st.floats(0, 30), min_size=1, max_size=200),
)
def test_at_most_twice_the_limit_in_any_minute_and_never_a_long_wait(
    limit: int, steps: list[float]
) -> None:
    windows, now, spent = Windows(), NOW, list[float]()
    for step in steps:
        now += step
        usage = windows.spend("who", limit, now)
        assert 0 <= usage.remaining < limit or not usage.allowed
        assert 1 <= usage.seconds <= 120
        if usage.allowed:
            spent.append(now)
        else:
            assert windows.peek("who", limit, now + usage.seconds).allowed
    for first in spent:
        assert sum(first <= each < first + 60 for each in spent) < 2 * limit + 1
