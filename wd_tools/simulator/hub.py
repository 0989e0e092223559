"""The WebSocket connections, their subscriptions, and the faults that strike notifications."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, Protocol

import msgspec

from wd_tools.simulator import rpc
from wd_tools.simulator.bill import Bill
from wd_tools.simulator.clock import SLOT_SECONDS, Clock
from wd_tools.simulator.commitments import LEVELS, Commitment, Commitments
from wd_tools.simulator.entry import Entry
from wd_tools.simulator.faults import Faults
from wd_tools.simulator.feed import Feed
from wd_tools.simulator.limits import SUBSCRIPTIONS, Plan
from wd_tools.simulator.methods import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError
from wd_tools.simulator.notifications import Subject, notification, slot_result
from wd_tools.simulator.subscriptions import (
    KINDS,
    Kind,
    Subscription,
    SubscriptionIndex,
    subscription,
)

INTERNAL_ERROR: Final = -32603
_KINDS: Final[dict[str, Kind]] = {kind: kind for kind in KINDS}


class Peer(Protocol):
    """A connection. `drop`: gone without a word. `fall_silent`: open, and dead."""

    def send(self, message: bytes) -> None: ...

    def drop(self) -> None: ...

    def fall_silent(self) -> None: ...


class Hub:
    def __init__(
        self,
        clock: Clock,
        commitments: Commitments,
        feed: Feed,
        faults: Faults,
        bill: Bill,
        plan: Plan | None,
        refused: rpc.Refusal | None,
        rng: random.Random,
    ) -> None:
        """`refused`: how transactionSubscribe is, if it is."""
        self._clock = clock
        self._commitments = commitments
        self._faults = faults
        self._bill = bill
        self._plan = plan
        self._refused = refused
        self._rng = rng
        self._numbers = count(1)
        self._peers: dict[Peer, dict[int, Subscription]] = {}
        self._owners: dict[int, Peer] = {}
        self._indexes = {level: SubscriptionIndex() for level in LEVELS}
        self._slots: set[int] = set()
        self._slot_timer: asyncio.TimerHandle | None = None
        self.sent: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        feed.listen("processed", lambda entries: self._tell("processed", entries))
        feed.listen("confirmed", lambda entries: self._tell("confirmed", entries))
        feed.listen("finalized", lambda entries: self._tell("finalized", entries))

    # Connections

    def statistics(self) -> dict[str, int]:
        """What is there now, and what was since the last `clear`."""
        past = {name: self.counts[name] for name in ("opened", "refused", "slow")}
        return {"open": len(self._peers), "subscriptions": len(self._owners), **past}

    def clear(self) -> None:
        self.sent.clear()
        self.counts.clear()

    def refusal(self) -> tuple[int, str] | None:
        """Status and reason for which one more connection isn't taken."""
        if self._faults.befall("ws_refuse", "connect") is not None:
            self.counts["refused"] += 1
            return 503, "Service Unavailable"
        if self._plan is not None and len(self._peers) >= self._plan.connections:
            self.counts["refused"] += 1
            return 429, "Too Many Connections"
        return None

    def join(self, peer: Peer) -> None:
        self.counts["opened"] += 1
        self._bill.connection()
        self._peers[peer] = {}

    def leave(self, peer: Peer) -> None:
        self._end_all(peer)
        self._peers.pop(peer, None)

    def drop_all(self) -> int:
        """How many connections there were."""
        peers = list(self._peers)
        for peer in peers:
            self._drop(peer)
        return len(peers)

    def _drop(self, peer: Peer) -> None:
        peer.drop()
        self.leave(peer)

    # Requests

    def answer(self, peer: Peer, message: str | bytes) -> tuple[str, bytes]:
        """The method asked for, or `unknown`, and the answer."""
        raw = message.encode() if isinstance(message, str) else message
        try:
            request = rpc.parse(raw)
        except RpcError as error:
            return "unknown", rpc.refusal(None, error)
        call = request.calls[0]
        try:
            result = self._answered(peer, call)
        except RpcError as error:
            known = error.code != METHOD_NOT_FOUND
            return call.method if known else "unknown", rpc.refusal(call.id, error)
        return call.method, b"".join(rpc.envelope(call.id, [msgspec.json.encode(result)]))

    def _answered(self, peer: Peer, call: rpc.Call) -> int | bool:
        if peer not in self._peers:  # it was read already when the connection was dropped
            raise RpcError(INTERNAL_ERROR, "The connection is closed")
        for ending, action in (("Unsubscribe", self._unsubscribe), ("Subscribe", self._subscribe)):
            kind = _KINDS.get(call.method.removesuffix(ending))
            if kind is not None and call.method.endswith(ending):
                return action(peer, kind, call.params)
        raise RpcError(METHOD_NOT_FOUND, "Method not found")

    def _subscribe(self, peer: Peer, kind: Kind, params: Any) -> int:
        if kind == "transaction":
            self._check_plan()
        one = subscription(kind, params)
        own = self._peers[peer]
        if len(own) >= SUBSCRIPTIONS:
            text = "Internal Error: Subscription refused. Node subscription limit reached"
            raise RpcError(INTERNAL_ERROR, text)
        number = next(self._numbers)
        own[number] = one
        self._owners[number] = peer
        if kind == "slot":
            self._slots.add(number)
            self._await_slot()
        else:
            self._indexes[one.level].add(number, one)
        return number

    def _check_plan(self) -> None:
        if self._refused == "method-not-found":
            raise RpcError(METHOD_NOT_FOUND, "Method not found")
        if self._refused == "403" or (self._plan is not None and not self._plan.transactions):
            text = "transactionSubscribe is not available on your plan"
            raise RpcError(rpc.PLAN_REFUSED, text)

    def _unsubscribe(self, peer: Peer, kind: Kind, params: Any) -> bool:
        number = params[0] if isinstance(params, list) and len(params) == 1 else None
        if isinstance(number, int):
            one = self._peers[peer].get(number)
            if one is not None and one.kind == kind:
                self._end(peer, number)
                return True
        raise RpcError(INVALID_PARAMS, "Invalid subscription id.")

    def _end_all(self, peer: Peer) -> None:
        for number in list(self._peers.get(peer, ())):
            self._end(peer, number)

    def _end(self, peer: Peer, number: int) -> None:
        one = self._peers[peer].pop(number)
        del self._owners[number]
        self._slots.discard(number)
        if one.kind != "slot":
            self._indexes[one.level].remove(number, one)

    # Notifications

    def _tell(self, level: Commitment, entries: Sequence[Entry]) -> None:
        index = self._indexes[level]
        for entry in entries:
            if not index:
                return
            for number, one, result in list(index.concerned(Subject(entry))):
                self._notify(f"{one.kind}Notification", number, result)

    def _notify(self, method: str, number: int, result: bytes) -> None:
        """Send it unless a fault has other ideas."""
        peer, befall = self._owners.get(number), self._faults.befall
        if peer is None:
            return
        if (fault := befall("ws_disconnect", method)) is not None:
            if fault.all:
                self.drop_all()
            else:
                self._drop(peer)
            return
        if befall("ws_silent", method) is not None:
            peer.fall_silent()
            self._end_all(peer)
            return
        if befall("missing", method) is not None:
            return
        for _ in range(2 if befall("duplicate", method) else 1):
            if (fault := befall("delay", method)) is not None:
                self._send_later(fault.delay, method, number, result)
            elif (fault := befall("reorder", method)) is not None:
                self._send_later(self._rng.uniform(0, fault.delay), method, number, result)
            else:
                self._send(method, number, result)

    def _send_later(self, seconds: float, method: str, number: int, result: bytes) -> None:
        asyncio.get_running_loop().call_later(seconds, self._send, method, number, result)

    def _send(self, method: str, number: int, result: bytes) -> None:
        peer = self._owners.get(number)
        if peer is not None:
            message = notification(method, number, result)
            self.sent[method] += 1
            self._bill.carried(len(message))
            peer.send(message)

    def _await_slot(self) -> None:
        """A timer while somebody wants to know of slots, and none otherwise."""
        if self._slots and self._slot_timer is None:
            left = SLOT_SECONDS - self._clock.elapsed() % SLOT_SECONDS
            loop = asyncio.get_running_loop()
            self._slot_timer = loop.call_later(left, self._new_slot)

    def _new_slot(self) -> None:
        self._slot_timer = None
        result = slot_result(self._clock.slot(), self._commitments.slot("finalized"))
        for number in sorted(self._slots):
            self._notify("slotNotification", number, result)
        self._await_slot()
