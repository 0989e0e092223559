from random import Random

import msgspec
import pytest

from wd_tools.load.distribution import Distribution


def test_a_percentile_is_wrong_by_less_than_two_percent() -> None:
    chance = Random(5)
    values = sorted(chance.lognormvariate(2, 2) for _ in range(20_000))
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    for percent in (1, 50, 90, 99, 99.9, 100):
        exact = values[max(0, round(len(values) * percent / 100) - 1)]
        assert distribution.percentile(percent) == pytest.approx(exact, rel=0.02)
    assert distribution.largest == values[-1]


def test_without_a_value_there_is_no_percentile() -> None:
    assert Distribution().percentile(50) is None


def test_one_value_is_every_percentile() -> None:
    distribution = Distribution()
    distribution.add(123.0)
    assert {distribution.percentile(p) for p in (1, 50, 100)} == {distribution.percentile(50)}
    assert distribution.percentile(50) == pytest.approx(123, rel=0.02)


def test_no_percentile_is_above_the_largest_value() -> None:
    distribution = Distribution()
    distribution.add(1.0, times=10)
    assert distribution.percentile(99.9) == pytest.approx(1.0, rel=0.02)
    assert distribution.percentile(99.9) <= 1.0  # type: ignore[operator]


@pytest.mark.parametrize("value", [0.0, 10.0**9])
def test_values_beyond_both_ends_are_counted(value: float) -> None:
    distribution = Distribution()
    distribution.add(value)
    assert distribution.count == 1
    assert distribution.largest == value


def test_what_processes_counted_adds_up_to_what_one_would_have_counted() -> None:
    chance = Random(6)
    one, parts = Distribution(), [Distribution() for _ in range(3)]
    for number in range(3000):
        value = chance.uniform(0, 500)
        one.add(value)
        parts[number % 3].add(value)
    whole = Distribution()
    for part in parts:
        whole.merge(msgspec.json.decode(msgspec.json.encode(part), type=Distribution))
    assert whole == one
