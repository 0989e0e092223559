"""How much is tried, and how long each try may take.

All fuzzers take less than a minute; `FUZZ=20` tries 20 times as much. The number of examples is the
bound, not the clock, so that a slow machine tries the same things. What broke something once stays
with its test as an `@example`.

A reader of strangers' bytes may take time by their length and no faster: what doubles with each
line stops a server with one packet. So every example has a budget of CPU time by the size of what
it was given.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from time import process_time
from typing import Any

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))
# CPU seconds that reading a KB may take, and how much more is no failure: tests look at what was
# read, and a busy machine's caches are cold.
SECONDS_A_KB = 0.001
GENEROSITY = 10
# CPU seconds that an example may take whatever its size: a garbage collection on a busy machine.
SECONDS_AT_LEAST = 0.5

Test = Callable[..., None]


class TooSlow(AssertionError):
    """Something took more time than reading its input once may take."""


def examples(count: int, *, drawn: bool = False) -> Callable[[Test], Test]:
    """Above `@given`: so many examples, each within its budget. `drawn`: the test draws its input
    itself, and so bounds the time after that."""

    def decorate(test: Any) -> Test:
        if not drawn:
            test.hypothesis.inner_test = _within_budget(test.hypothesis.inner_test)
        decorated: Test = settings(
            max_examples=count * TIMES,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )(test)
        return decorated

    return decorate


@contextmanager
def budget(size: int, clock: Callable[[], float] = process_time) -> Iterator[None]:
    """What is done within takes the CPU time that so many bytes may take. `clock` has the CPU
    seconds of the process that reads them. Raises TooSlow."""
    allowed = max(SECONDS_AT_LEAST, size / 1024 * SECONDS_A_KB * GENEROSITY)
    began = clock()
    yield
    taken = clock() - began
    if taken > allowed:
        raise TooSlow(f"{size} bytes took {taken:.3f} s of CPU time and may take {allowed:.3f}")


def _within_budget(test: Test) -> Test:
    @wraps(test)
    def bounded(*given: Any, **named: Any) -> None:
        with budget(_size((given, named))):
            test(*given, **named)

    return bounded


def _size(value: object) -> int:
    """Bytes or characters of all texts within."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_size(name) + _size(each) for name, each in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return sum(map(_size, value))
    return 8
