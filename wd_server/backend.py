"""The seam between the server and what stores for it.

A backend offers everything that outlives a process or is shared by several: journals of wallets,
API keys, counters of what callers use, the day's credits, and which nodes live. `embedded/`
keeps all of it in SQLite files for one process, `redis/` keeps it in Redis for many.
`backend_choice.py` picks one; nothing else in the server knows which one it is. docs/backends.md
shows how to write another.

What a backend promises as a whole, besides what each part promises where it is defined:

1.  Its constructor touches nothing outside the process. `open` opens every part or raises
    StoreUnavailable and leaves nothing open. A backend is opened once in its life.
2.  `close` waits for what was handed in, frees the node's leases, gives its streams back and ends
    its background tasks. Closing twice, or without having opened, is no error.
3.  `health`, `place` and `figures` answer from memory. What they say becomes right by itself when
    the store is back, at the latest with the next call of a part or of `probe`.
4.  A node that dies, however it dies, is found dead by the others. Its leases can then be taken and
    its streams count no more.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from wd_server.access.quotas import Counters
from wd_server.access.store import KeyStore
from wd_server.chain.budget import BudgetStore
from wd_server.histogram import Histogram
from wd_server.journal.base import Journal


class Membership(Protocol):
    """Which nodes live. `node`: the id of this one, which no other has."""

    node: str

    @property
    def surely_alive(self) -> bool:
        """Whether nobody can have taken this node for dead. From memory."""

    def nodes(self) -> frozenset[str]:
        """Ids of the nodes that lived at the last heartbeat, this one among them. From memory."""


class BackendHealth(NamedTuple):
    """What the health document says of a backend.

    redis: the word for `dependencies.redis`
    answers: whether everything that was asked lately answers
    needed: names of stores without which no stream can be served (health.py)
    may_evict: whether the store may throw away what it was given
    details: what the document says besides, by the name of the field
    """

    redis: Literal["embedded", "configured", "unavailable"]
    answers: bool
    needed: frozenset[str]
    may_evict: bool = False
    details: Mapping[str, Any] = {}


class Figure(NamedTuple):
    """A metric of a backend, without the prefix that all metrics have.

    value: a number; a number for each value of `label`; or how long things took
    """

    kind: Literal["gauge", "counter", "histogram"]
    name: str
    help: str
    value: float | Mapping[str, int] | Histogram
    label: str = ""


class Backend(Protocol):
    """All parts exist from the start and work while the backend is open."""

    @property
    def journal(self) -> Journal: ...

    @property
    def keys(self) -> KeyStore: ...

    @property
    def counters(self) -> Counters: ...

    @property
    def budget(self) -> BudgetStore: ...

    @property
    def membership(self) -> Membership: ...

    @property
    def place(self) -> str:
        """Where the keys are, for operators. It has no secret in it."""

    async def open(self) -> None:
        """Raises StoreUnavailable."""

    async def open_keys(self) -> None:
        """Instead of `open`, for a program that needs only `keys`: no node joins the others.
        Raises StoreUnavailable."""

    async def close(self) -> None: ...

    async def probe(self) -> None:
        """Find out whether what couldn't be stored can be stored again. It is called every few
        seconds while the disk of DATA_DIR takes what is written, and never raises."""

    def health(self) -> BackendHealth: ...

    def figures(self) -> Sequence[Figure]: ...
