"""Open streams, found by the key or token whose end ends them."""

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum
from time import perf_counter

from wd_server.access.key_index import Ended
from wd_server.access.principal import Principal

# How long `end` calls streams in a row before the event loop may do other work.
SLICE_SECONDS = 0.005


class Ending(Enum):
    """Why a stream has to end: the `reason` of the `bye`."""

    EXPIRED = "token_expired"
    REVOKED = "revoked"


OnEnd = Callable[[Ending], None]
"""Called at most once, on the event loop. Must not block."""


class SessionSlot:
    """The place of one open stream. `release` gives it back to the quota of its owner."""

    __slots__ = ("_slots", "end", "principal")

    def __init__(self, slots: "SessionSlots", principal: Principal, end: OnEnd) -> None:
        self._slots: SessionSlots | None = slots
        self.principal = principal
        self.end: OnEnd | None = end

    def release(self) -> None:
        """Releasing twice is no error."""
        slots, self._slots, self.end = self._slots, None, None
        if slots is not None:
            slots.released(self)


class SessionSlots:
    """`on_release` is called once for each slot that is given back."""

    def __init__(self, on_release: Callable[[Principal], None]) -> None:
        self._on_release = on_release
        self._by_key: dict[str, set[SessionSlot]] = {}
        self._by_token: dict[str, set[SessionSlot]] = {}
        # Tokens' ends, by the second.
        self._by_end: dict[int, set[SessionSlot]] = {}
        self.count = 0

    def add(self, principal: Principal, end: OnEnd) -> SessionSlot:
        slot = SessionSlot(self, principal, end)
        self.count += 1
        if principal.key_id is not None:
            self._by_key.setdefault(principal.key_id, set()).add(slot)
        if principal.jti is not None:
            self._by_token.setdefault(principal.jti, set()).add(slot)
            if principal.expires_at is not None:
                self._by_end.setdefault(int(principal.expires_at), set()).add(slot)
        return slot

    def released(self, slot: SessionSlot) -> None:
        principal = slot.principal
        self.count -= 1
        if principal.key_id is not None:
            _discard(self._by_key, principal.key_id, slot)
        if principal.jti is not None:
            _discard(self._by_token, principal.jti, slot)
            if principal.expires_at is not None:
                _discard(self._by_end, int(principal.expires_at), slot)
        self._on_release(principal)

    def due(self, ended: Ended, now: float) -> list[tuple[SessionSlot, Ending]]:
        """The slots whose streams have to end. They stay listed until they are released."""
        found: dict[SessionSlot, Ending] = {}
        seconds = [second for second in self._by_end if second <= now]
        for second in seconds:
            found |= dict.fromkeys(self._by_end[second], Ending.EXPIRED)
        for key_id, by_hand in ended.keys.items():
            reason = Ending.REVOKED if by_hand else Ending.EXPIRED
            found |= dict.fromkeys(self._by_key.get(key_id, ()), reason)
        for jti in ended.tokens & self._by_token.keys():
            found |= dict.fromkeys(self._by_token[jti], Ending.REVOKED)
        return list(found.items())


async def end(due: Iterable[tuple[SessionSlot, Ending]]) -> None:
    """Call `end` of each slot, in slices. A slot that was called or released meanwhile is
    skipped."""
    loop = asyncio.get_running_loop()
    until = perf_counter() + SLICE_SECONDS
    for slot, reason in due:
        call, slot.end = slot.end, None
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
    table: dict[str, set[SessionSlot]] | dict[int, set[SessionSlot]], key: object, slot: SessionSlot
) -> None:
    slots = table.get(key)  # type: ignore[call-overload]
    if slots is not None:
        slots.discard(slot)
        if not slots:
            del table[key]  # type: ignore[arg-type]
