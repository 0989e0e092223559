"""A fair order for calls that wait for the same resource. Pure.

Turns go round by tenant, and the turns of one tenant by wallet. So the call for somebody's fiftieth
wallet never stands before the call for somebody else's first. An example, with a tenant A that
waits with two calls for wallet a and one for b, and a tenant B that came later with a call for c:

    waiting   A: a a b   B: c
    served    a (A), c (B), b (A), a (A)

The server has calls of its own, such as those for transactions that were pushed. One that waits is
served after every turn of a tenant: they get half of the turns at most, and are never more than one
turn away.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

# Tenants in whose turns one wallet is served. With so many its turn comes often enough, and a call
# for a wallet that thousands want costs no more than this many steps.
TENANTS_MAX = 64

T = TypeVar("T")


class Tenant(NamedTuple):
    """A caller that wants wallets: an API key with its tokens, a token's subject, or an address.
    `credits`: how many may be spent in its name on a day (UTC); 0: no limit."""

    name: str
    credits: int = 0


SERVER = Tenant("")
"""The server itself, for calls that serve every tenant."""


class Turn:
    """The place of one wallet in every queue where its calls wait. Each call is served in the turn
    of the tenant that comes first among the first TENANTS_MAX that want the wallet. `first`: the
    wallet was never read to its end before."""

    __slots__ = ("_wanted", "first", "queues")

    def __init__(self, *tenants: Tenant) -> None:
        self._wanted = Counter(tenants)
        self.first = False
        self.queues: set[FairQueue[Any]] = set()

    @property
    def tenants(self) -> Collection[Tenant]:
        return self._wanted.keys()

    @property
    def standing(self) -> list[Tenant]:
        """The tenants in whose turns it is served."""
        return list(islice(self._wanted, TENANTS_MAX))

    def join(self, tenant: Tenant) -> None:
        """One more tenant wants the wallet. To be followed by one `leave`."""
        if len(self._wanted) == 1 and not self._wanted.total():  # the last who left stayed
            self._wanted.clear()
        is_new = tenant not in self._wanted
        self._wanted[tenant] += 1
        if is_new and len(self._wanted) <= TENANTS_MAX:
            self._stand(tenant)

    def leave(self, tenant: Tenant) -> None:
        """The last tenant stays, so that calls that nobody waits for any more come to their end."""
        self._wanted[tenant] -= 1
        if self._wanted[tenant] or len(self._wanted) == 1:
            return
        del self._wanted[tenant]
        if len(self._wanted) >= TENANTS_MAX:  # the next takes that place
            self._stand(self.standing[-1])

    def _stand(self, tenant: Tenant) -> None:
        for queue in self.queues:
            queue.enter(self, tenant)


class FairQueue(Generic[T]):
    """What waits, of any type, and which of it is served next."""

    def __init__(self) -> None:
        self._waiting: dict[Turn, deque[T]] = {}
        # In the order in which they are served. A turn stays with a tenant after it was served
        # elsewhere, until it comes up.
        self._rounds: OrderedDict[Tenant, dict[Turn, None]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ahead(self, turn: Turn) -> int:
        """How many are served before one that would be added now, at most."""
        own = len(self._waiting.get(turn, ())) + 1
        wallets = min((len(self._rounds.get(each, ())) for each in turn.standing), default=0) + 1
        return min(self._count, own * wallets * (len(self._rounds) + 1))

    def add(self, turn: Turn, waiter: T) -> None:
        if turn not in self._waiting:
            self._waiting[turn] = deque()
            turn.queues.add(self)
            for tenant in turn.standing:
                self.enter(turn, tenant)
        self._waiting[turn].append(waiter)
        self._count += 1

    def enter(self, turn: Turn, tenant: Tenant) -> None:
        """One more tenant wants a wallet that waits."""
        self._rounds.setdefault(tenant, {}).setdefault(turn)

    def discard(self, turn: Turn, waiter: T) -> None:
        """It waits no more. One that was served already is no error."""
        if waiter in self._waiting.get(turn, ()):
            self._waiting[turn].remove(waiter)
            self._leave_if_last(turn)

    def pop(self, may: Callable[[Tenant], bool] = lambda _: True) -> tuple[T, Tenant] | None:
        """The next waiter, and the tenant in whose turn it is served. Tenants for which `may` is
        False are skipped and keep their place. None: no other tenant waits."""
        idle: list[Tenant] = []
        found: tuple[Turn, Tenant] | None = None
        for tenant, turns in self._rounds.items():
            if may(tenant):
                turn = self._first(tenant, turns)
                if turn is not None:
                    found = turn, tenant
                    break
                idle.append(tenant)
        for tenant in idle:
            del self._rounds[tenant]
        return None if found is None else (self._serve(*found), found[1])

    def _first(self, tenant: Tenant, turns: dict[Turn, None]) -> Turn | None:
        while turns:
            turn = next(iter(turns))
            if turn in self._waiting and tenant in turn.tenants:
                return turn
            del turns[turn]
        return None

    def _serve(self, turn: Turn, tenant: Tenant) -> T:
        waiter = self._waiting[turn].popleft()
        turns = self._rounds[tenant]
        del turns[turn]
        if self._waiting[turn]:
            turns[turn] = None
        self._rounds.move_to_end(tenant)
        if tenant != SERVER and SERVER in self._rounds:
            self._rounds.move_to_end(SERVER, last=False)
        if not turns:
            del self._rounds[tenant]
        self._leave_if_last(turn)
        return waiter

    def _leave_if_last(self, turn: Turn) -> None:
        self._count -= 1
        if not self._waiting[turn]:
            del self._waiting[turn]
            turn.queues.discard(self)
        if not self._waiting:
            self._rounds.clear()
