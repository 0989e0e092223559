"""What is subscribed to is what is followed, whatever happens in whatever order.

A wallet that nobody follows and that stays subscribed to is paid for as long as the process lives;
one that is followed and isn't subscribed to is noticed late. The upstream here is one end of a
WebSocket without a network, and time passes only where a rule says so.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wd_server.chain.credits import Credits
from wd_server.chain.live import GATHER_SECONDS, REFUSED_SECONDS, TIDY_SECONDS, LiveTransactions
from wd_server.chain.websocket import ACKNOWLEDGE_SECONDS, UpstreamSocket

WALLETS = st.sampled_from("abc")
METHOD_NOT_FOUND = {"code": -32601, "message": "Method not found"}
INVALID = {"code": -32602, "message": "Invalid params"}


class Loop(asyncio.SelectorEventLoop):
    """Its time stands still."""

    now = 0.0

    def time(self) -> float:
        return self.now


class Socket:
    """A connection, as Tornado gives it to its client."""

    def __init__(self, upstream: "Upstream", on_message: Callable[[str | None], None]) -> None:
        self.upstream = upstream
        self.on_message = on_message
        self.asked: deque[dict[str, Any]] = deque()
        self.standing: dict[int, list[str]] = {}

    def write_message(self, message: bytes) -> asyncio.Future[None]:
        self.asked.append(json.loads(message))
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    def close(self) -> None:
        if self in self.upstream.sockets:
            self.upstream.sockets.remove(self)
            self.asked.clear()
            self.standing.clear()
            asyncio.get_running_loop().call_soon(self.on_message, None)

    def answer(self, error: dict[str, Any] | None) -> None:
        """The oldest question. What ends a subscription is never refused."""
        asked = self.asked.popleft()
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
        if asked["method"].endswith("Unsubscribe"):
            answer["result"] = self.standing.pop(asked["params"][0], None) is not None
        elif error is not None:
            answer["error"] = error
        else:
            number = self.upstream.number()
            wanted = asked["params"][0]
            self.standing[number] = wanted.get("accountInclude") or wanted["mentions"]
            answer["result"] = number
        self.on_message(json.dumps(answer))


class Upstream:
    def __init__(self) -> None:
        self.up = True
        self.sockets: list[Socket] = []
        self._numbers = 0

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def connect(self, url: str, *, on_message_callback: Any, **options: Any) -> Socket:
        if not self.up:
            raise OSError("refused")
        socket = Socket(self, on_message_callback)
        self.sockets.append(socket)
        return socket

    @property
    def asked(self) -> list[Socket]:
        return [socket for socket in self.sockets if socket.asked]

    def standing(self) -> Counter[str]:
        return Counter(
            wallet
            for socket in self.sockets
            for wallets in socket.standing.values()
            for wallet in wallets
        )


class SilentObserver:
    def follows(self, wallet: str) -> bool:
        return True

    def on_transaction(self, wallet: str, transaction: object) -> None: ...
    def on_gap(self, wallets: object) -> None: ...
    def on_lost(self, wallets: object) -> None: ...


class Subscriptions(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.loop = Loop()
        self.upstream = Upstream()
        self.followed: set[str] = set()
        socket = partial(
            UpstreamSocket,
            connect=self.upstream.connect,
            sleep=asyncio.sleep,
            random=lambda: 0.0,
        )
        rpc: Any = None
        self.live = LiveTransactions(
            "", rpc, Credits(0, lambda: 0.0), connections_max=2, socket=socket
        )
        self.live.set_observer(SilentObserver())

    def run(self, step: Callable[[], object] = lambda: None) -> None:
        async def whole() -> None:
            step()
            for _ in range(8):  # what follows from it at once
                await asyncio.sleep(0)

        self.loop.run_until_complete(whole())

    @rule(wallet=WALLETS)
    def follow(self, wallet: str) -> None:
        self.followed.add(wallet)
        self.run(lambda: self.live.follow(wallet))

    @rule(wallet=WALLETS)
    def unfollow(self, wallet: str) -> None:
        self.followed.discard(wallet)
        self.run(lambda: self.live.unfollow(wallet))

    @rule(seconds=st.sampled_from([*[GATHER_SECONDS] * 4, ACKNOWLEDGE_SECONDS, REFUSED_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.loop.now += seconds
        self.run()

    @precondition(lambda self: self.upstream.asked)
    @rule()
    def acknowledge(self) -> None:
        self.run(lambda: self.upstream.asked[0].answer(None))

    @rule()
    def acknowledge_all(self) -> None:
        while self.upstream.asked:
            self.acknowledge()

    @precondition(lambda self: self.upstream.asked)
    @rule()
    def refuse(self) -> None:
        self.run(lambda: self.upstream.asked[0].answer(INVALID))

    @precondition(lambda self: self.upstream.asked)
    @rule()
    def lack_the_method(self) -> None:
        socket = self.upstream.asked[0]
        lacks = socket.asked[0]["method"] == "transactionSubscribe"
        self.run(lambda: socket.answer(METHOD_NOT_FOUND if lacks else None))

    @precondition(lambda self: self.upstream.sockets)
    @rule()
    def disconnect(self) -> None:
        self.run(lambda: self.upstream.sockets[0].close())

    @rule(up=st.booleans())
    def come_or_go(self, up: bool) -> None:
        self.upstream.up = up

    @invariant()
    def only_what_is_followed_is_said_to_be_covered(self) -> None:
        if hasattr(self, "live"):
            covered = {wallet for wallet in "abc" if self.live.covers(wallet)}
            assert covered <= self.followed
            assert covered <= self.upstream.standing().keys()

    def teardown(self) -> None:
        """Nothing is the matter any more: in the end each followed wallet is subscribed to once."""
        if not hasattr(self, "live"):
            return
        try:
            self.upstream.up = True
            for _ in range(12):
                self.loop.now += TIDY_SECONDS
                self.run()
                self.acknowledge_all()
            assert self.upstream.standing() == Counter(self.followed)
            assert all(self.live.covers(wallet) for wallet in self.followed)
        finally:
            self.loop.run_until_complete(self.live.close())
            self.loop.close()


TestSubscriptions = Subscriptions.TestCase
TestSubscriptions.settings = settings(
    max_examples=300,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.mark.parametrize("acknowledged", [0, 1])
def test_a_wallet_that_is_left_while_another_joins_it_is_not_subscribed_to_for_good(
    acknowledged: int,
) -> None:
    world = Subscriptions()
    world.begin()
    world.follow("a")
    world.time_passes(GATHER_SECONDS)
    for _ in range(acknowledged):
        world.acknowledge()
    world.follow("b")
    world.time_passes(GATHER_SECONDS)
    world.unfollow("a")
    world.teardown()


def test_a_wallet_left_from_a_better_mode_is_asked_for_once() -> None:
    world = Subscriptions()
    world.begin()
    world.follow("b")
    world.come_or_go(up=False)
    world.time_passes(GATHER_SECONDS)
    world.follow("a")
    world.time_passes(GATHER_SECONDS)
    world.unfollow("a")
    world.come_or_go(up=True)
    world.time_passes(GATHER_SECONDS)
    world.lack_the_method()
    world.teardown()


def test_a_better_subscription_that_is_half_waste_leaves_nobody_behind() -> None:
    world = Subscriptions()
    world.begin()
    world.follow("a")
    world.time_passes(GATHER_SECONDS)
    world.follow("b")
    world.time_passes(GATHER_SECONDS)
    world.lack_the_method()
    world.unfollow("a")
    world.teardown()


def test_what_is_left_before_it_is_acknowledged_is_ended() -> None:
    world = Subscriptions()
    world.begin()
    world.follow("a")
    world.follow("b")
    for left in "ab":
        world.time_passes(GATHER_SECONDS)
        world.unfollow(left)
    world.teardown()
