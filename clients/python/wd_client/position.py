"""Where a stream is: the id it goes on from, and which events it has had."""

import re

_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


class Position:
    """`last_event_id` is None before the first. Ids of one wallet count, `<epoch>-<seq>`; those of
    several are opaque and only compared."""

    def __init__(self, last_event_id: str | None = None) -> None:
        self.last_event_id = last_event_id

    def take(self, event_id: str) -> bool:
        """Move there; False if that was passed already, and the event came twice."""
        last, self.last_event_id = self.last_event_id, event_id
        if last is None:
            return True
        before, now = _ID.fullmatch(last), _ID.fullmatch(event_id)
        if before is None or now is None:
            return event_id != last
        if now[1] != before[1] or int(now[2]) > int(before[2]):
            return True
        self.last_event_id = last
        return False

    def forget(self) -> None:
        """What is held can't be continued."""
        self.last_event_id = None
