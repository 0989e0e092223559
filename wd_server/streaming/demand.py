"""Who asks for a stream, and who is told that a wallet is wanted."""

from typing import NamedTuple, Protocol

from wd_server.chain.turns import Tenant
from wd_server.streaming.channel import Channel


class StreamRequest(NamedTuple):
    """What a request says beside what it asks to see: who asks, when by the monotonic clock, and
    which of the wallets aren't read for it yet."""

    tenant: Tenant
    at: float
    held: frozenset[str] = frozenset()


class WalletSessions(Protocol):
    """Who fills the journal of a wallet while somebody is there."""

    def join(
        self, wallet: str, observer: Channel, follow: bool, tenant: Tenant, *, held: bool
    ) -> None: ...
    def leave(self, wallet: str, follow: bool, tenant: Tenant) -> None: ...
