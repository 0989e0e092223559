"""How much is tried: all fuzzers take less than a minute; `FUZZ=20` tries 20 times as much.

The number of examples is the bound, not the clock, so that a slow machine tries the same things.
What broke something once stays with its test as an `@example`.
"""

import os

from hypothesis import HealthCheck, settings

TIMES = int(os.environ.get("FUZZ", "1"))


def examples(count: int) -> settings:
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
