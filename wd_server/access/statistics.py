"""What the authenticator counts."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from wd_server.errors import WalletDoctorError


@dataclass(slots=True)
class AccessStatistics:
    """Totals since the start, but for `keys` known, `slots` open, `failing` (the store) and
    `stale`, which are as of now. `refused` by the error's code, `ended` by the reason of the
    `bye`."""

    checks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    keys: int = 0
    slots: int = 0
    failing: bool = False
    stale: bool = False

    @contextmanager
    def refusals(self) -> Iterator[None]:
        try:
            yield
        except WalletDoctorError as error:
            self.refused[error.code] += 1
            raise
