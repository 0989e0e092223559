"""Who is inside: open streams, found by what may end them."""

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from time import perf_counter

from wd_server.access.principal import Principal
from wd_server.access.roster import Ended

# How long ends are called in a row before the event loop gets a breath.
SLICE_SECONDS = 0.005


class Ending(Enum):
    """Why somebody has to leave: the `reason` of the `bye`."""

    EXPIRED = "token_expired"
    REVOKED = "revoked"


OnEnd = Callable[[Ending], None]
"""Called at most once, on the event loop. Must not block."""


class Visit:
    """One open stream. `leave` gives back what it took from its owner's quota."""

    __slots__ = ("_visits", "end", "principal")

    def __init__(self, visits: "Visits", principal: Principal, end: OnEnd) -> None:
        self._visits: Visits | None = visits
        self.principal = principal
        self.end: OnEnd | None = end

    def leave(self) -> None:
        """Leaving twice is no error."""
        visits, self._visits, self.end = self._visits, None, None
        if visits is not None:
            visits.left(self)


class Visits:
    """`on_leave` is called once for each visit that is over."""

    def __init__(self, on_leave: Callable[[Principal], None]) -> None:
        self._on_leave = on_leave
        self._by_key: dict[str, set[Visit]] = {}
        self._by_token: dict[str, set[Visit]] = {}
        # Tokens' ends, by the second.
        self._by_end: dict[int, set[Visit]] = {}
        self.count = 0

    def add(self, principal: Principal, end: OnEnd) -> Visit:
        visit = Visit(self, principal, end)
        self.count += 1
        if principal.key_id is not None:
            self._by_key.setdefault(principal.key_id, set()).add(visit)
        if principal.jti is not None:
            self._by_token.setdefault(principal.jti, set()).add(visit)
            if principal.expires_at is not None:
                self._by_end.setdefault(int(principal.expires_at), set()).add(visit)
        return visit

    def left(self, visit: Visit) -> None:
        principal = visit.principal
        self.count -= 1
        if principal.key_id is not None:
            _discard(self._by_key, principal.key_id, visit)
        if principal.jti is not None:
            _discard(self._by_token, principal.jti, visit)
            if principal.expires_at is not None:
                _discard(self._by_end, int(principal.expires_at), visit)
        self._on_leave(principal)

    def due(self, ended: Ended, now: float) -> list[tuple[Visit, Ending]]:
        """Who has to leave. They stay listed until they do."""
        found: dict[Visit, Ending] = {}
        seconds = [second for second in self._by_end if second <= now]
        for second in seconds:
            found |= dict.fromkeys(self._by_end[second], Ending.EXPIRED)
        for key_id, by_hand in ended.keys.items():
            reason = Ending.REVOKED if by_hand else Ending.EXPIRED
            found |= dict.fromkeys(self._by_key.get(key_id, ()), reason)
        for jti in ended.tokens & self._by_token.keys():
            found |= dict.fromkeys(self._by_token[jti], Ending.REVOKED)
        return list(found.items())


async def end(due: Iterable[tuple[Visit, Ending]]) -> None:
    """Tell them, in slices. A visit that was told or has left meanwhile isn't told again."""
    loop = asyncio.get_running_loop()
    until = perf_counter() + SLICE_SECONDS
    for visit, reason in due:
        call, visit.end = visit.end, None
        if call is None:
            continue
        try:
            call(reason)
        except Exception as error:  # noqa: BLE001 - a bug of one stream; the others have to end
            loop.call_exception_handler(
                {"message": "A stream couldn't be ended", "exception": error}
            )
        if perf_counter() > until:
            await asyncio.sleep(0)
            until = perf_counter() + SLICE_SECONDS


def _discard(
    table: dict[str, set[Visit]] | dict[int, set[Visit]], key: object, visit: Visit
) -> None:
    visits = table.get(key)  # type: ignore[call-overload]
    if visits is not None:
        visits.discard(visit)
        if not visits:
            del table[key]  # type: ignore[arg-type]
