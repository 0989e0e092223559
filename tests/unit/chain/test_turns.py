"""Whose turn it is: by tenant, then by wallet."""

import gc
import random
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from wd_server.chain.turns import SERVER, TENANTS_MAX, FairQueue, Tenant, Turn

A, B, C = Tenant("key:a"), Tenant("key:b", 10), Tenant("ip:c")


def served(queue: FairQueue[str], most: int = 1000) -> list[str]:
    found = []
    while len(found) < most and (popped := queue.pop()) is not None:
        found.append(popped[0])
    return found


def test_turns_go_round_by_tenant_and_those_of_one_by_wallet():
    queue, a, b, c = FairQueue[str](), Turn(A), Turn(A), Turn(B)
    for turn, call in ((a, "a1"), (a, "a2"), (b, "b1"), (c, "c1")):
        queue.add(turn, call)
    assert len(queue) == 4
    assert served(queue) == ["a1", "c1", "b1", "a2"]
    assert (len(queue), queue.pop()) == (0, None)


def test_a_first_wallet_never_stands_behind_somebody_else_s_fiftieth():
    queue = FairQueue[str]()
    for number in range(500):
        queue.add(Turn(A), f"a{number}")
    served(queue, 7)
    queue.add(Turn(B), "b")
    queue.add(Turn(C), "c")
    assert set(served(queue, 3)) >= {"b", "c"}


def test_whoever_asks_for_one_thing_after_another_gets_no_more_than_whoever_asks_for_all():
    queue, one = FairQueue[str](), Turn(B)
    for number in range(100):
        queue.add(Turn(A), f"a{number}")
    turns = []
    for number in range(100):
        if not number % 2:
            queue.add(one, "b")
        turns.append(served(queue, 1)[0][0])
    assert turns.count("b") == 50


def test_a_wallet_of_several_is_served_with_whoever_comes_first_and_only_once():
    queue, shared = FairQueue[str](), Turn(A, B)
    for number in range(3):
        queue.add(Turn(A), f"a{number}")
    queue.add(shared, "shared")
    assert queue.pop() == ("a0", A)
    assert queue.pop() == ("shared", B)
    assert served(queue) == ["a1", "a2"]


def test_who_joins_a_wallet_that_waits_brings_it_forward_and_who_leaves_takes_that_back():
    queue, last = FairQueue[str](), Turn(A)
    for number in range(10):
        queue.add(Turn(A), f"a{number}")
    queue.add(last, "last")
    last.join(B)
    last.leave(B)
    assert served(queue, 2) == ["a0", "a1"]
    last.join(B)
    assert "last" in served(queue, 2)


def test_the_last_who_leaves_stays_so_that_nothing_waits_for_ever():
    queue, turn = FairQueue[str](), Turn(A)
    queue.add(turn, "one")
    turn.join(A)
    turn.leave(A)
    turn.leave(A)
    assert queue.pop() == ("one", A)
    turn.join(B)  # another came: the one who left has nothing to do with it any more
    assert list(turn.tenants) == [B]


def test_what_the_server_asks_for_all_has_every_second_turn_and_no_more():
    queue, own = FairQueue[str](), Turn(SERVER)
    for number in range(4):
        for tenant in (A, B):
            queue.add(Turn(tenant), tenant.name[-1] + str(number))
    served(queue, 1)
    for number in range(3):
        queue.add(own, f"s{number}")
    assert served(queue) == ["b0", "s0", "a1", "s1", "b1", "s2", "a2", "b2", "a3", "b3"]


def test_who_may_not_now_is_passed_over_and_keeps_its_place():
    queue = FairQueue[str]()
    queue.add(Turn(A), "a")
    queue.add(Turn(B), "b")
    assert queue.pop(lambda tenant: tenant != A) == ("b", B)
    assert queue.pop(lambda tenant: tenant != A) is None
    assert queue.pop() == ("a", A)


def test_who_gave_up_waits_no_more():
    queue, turn = FairQueue[str](), Turn(A, B)
    for call in ("1", "2"):
        queue.add(turn, call)
    queue.discard(turn, "1")
    queue.discard(turn, "1")
    assert served(queue) == ["2"]
    queue.discard(turn, "2")
    assert len(queue) == 0


@given(
    wanted=st.lists(
        st.tuples(st.integers(0, 5), st.sets(st.sampled_from([A, B, C, SERVER]), min_size=1)),
        max_size=60,
    ),
    seed=st.integers(),
)
def test_everybody_is_served_once_and_nobody_is_passed_by_more_than_one_round(
    wanted: list[tuple[int, set[Tenant]]], seed: int
):
    """A call that is at the head of its wallet, which is at the head of its tenant, waits for one
    turn of each other tenant, and for as many of the server's, at most."""
    dice, queue = random.Random(seed), FairQueue[int]()
    turns: dict[int, Turn] = {}
    left: dict[int, Turn] = {}
    for number, (wallet, tenants) in enumerate(wanted):
        turn = turns.setdefault(wallet, Turn(*tenants))
        queue.add(turn, number)
        left[number] = turn
        if dice.random() < 0.3:
            turn.join(dice.choice([A, B, C]))
    since: dict[Tenant, int] = {}
    while (found := queue.pop()) is not None:
        number, tenant = found
        assert tenant in left.pop(number).tenants
        since[tenant] = 0
        for other in {each for turn in left.values() for each in turn.tenants} - {tenant}:
            since[other] = since.get(other, 0) + 1
            assert since[other] <= 8
        assert len(queue) == len(left)
    assert not left


def test_a_busy_caller_who_wants_the_same_wallet_makes_nobody_wait_longer():
    queue = FairQueue[str]()
    for number in range(500):
        queue.add(Turn(A), f"a{number}")
    alone = queue.ahead(Turn(B))
    assert queue.ahead(Turn(B, A)) <= alone + 1


def test_a_wallet_that_thousands_want_is_served_in_the_turns_of_some_of_them_to_the_last():
    queue, wanted = FairQueue[str](), Turn()
    many = [Tenant(f"ip:{number}") for number in range(10 * TENANTS_MAX)]
    for tenant in many:
        wanted.join(tenant)
    for number in range(len(many) + 1):
        queue.add(wanted, f"call {number}")
    assert len(wanted.standing) == TENANTS_MAX
    for tenant in many:
        assert queue.pop() is not None
        wanted.leave(tenant)
    assert queue.pop() is not None
    assert queue.pop() is None


def test_joining_takes_the_same_time_however_many_have_joined():
    def seconds(count: int) -> float:
        wanted, queue = Turn(), FairQueue[str]()
        wanted.join(A)
        queue.add(wanted, "call")
        many = [Tenant(f"ip:{number}") for number in range(count)]
        began = process_time()
        for tenant in many:
            wanted.join(tenant)
        return process_time() - began

    # The collector looks at everything that the tests before left, so its time isn't this code's.
    gc.disable()
    try:
        few = min(seconds(500) for _ in range(5))
        many = min(seconds(50_000) for _ in range(3))
    finally:
        gc.enable()
    # A hundred times as many take a hundred times as long, or ten thousand if each looks at all.
    assert many < 1500 * max(few, 0.0005)
