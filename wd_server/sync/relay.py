"""What nodes tell each other about a wallet that one of them reads for all.

Whoever has the lease tells everything its own observer is told and that isn't in the journal.
Others say when somebody with them waits for the newest. What another version of the server says and
this one doesn't know is passed over.
"""

from collections.abc import Collection
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from wd_server.chain.turns import Tenant
from wd_server.errors import (
    InternalError,
    StoreUnavailable,
    UpstreamQuota,
    UpstreamRateLimit,
    UpstreamRejected,
    UpstreamUnavailable,
    WalletDoctorError,
)
from wd_server.events import encoding, event
from wd_server.journal.base import Journal, Topic
from wd_server.sync.sync_pass import PassObserver
from wd_server.trading.summary import Summary

# The errors that a sync pass ends with.
_ERRORS: Final[dict[str, type[WalletDoctorError]]] = {
    error.code: error
    for error in (
        InternalError,
        StoreUnavailable,
        UpstreamQuota,
        UpstreamRateLimit,
        UpstreamRejected,
        UpstreamUnavailable,
    )
}


class WalletObserver(PassObserver, Protocol):
    @property
    def finished(self) -> bool:
        """The newest entry that it knows of is a `complete`."""

    def on_unsettled(self) -> None: ...
    def on_settled(self) -> None: ...
    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None: ...


class Interest(Protocol):
    """Whoever reads a wallet, or waits to. Must not block or raise."""

    def on_wanted(self, wallet: str, tenants: Collection[Tenant]) -> None:
        """Somebody on another node waits for the newest: these, as far as that node knows them."""

    def on_answered(self, wallet: str, settled: bool) -> None:
        """The node that reads this wallet says that nothing is newer, or that it failed."""

    def on_vacant(self, wallet: str) -> None:
        """The lease may be free, or may be lost."""


class _Notice(Struct, tag_field="said", frozen=True):
    pass


class _Progress(_Notice, tag="progress", frozen=True):
    progress: event.Progress


class _Preview(_Notice, tag="preview", frozen=True):
    preview: event.Preview


class _Summary(_Notice, tag="summary", frozen=True):
    summary: Summary


class _Settled(_Notice, tag="settled", frozen=True):
    pass


class _Failed(_Notice, tag="failed", frozen=True):
    code: str
    message: str
    retry_after: float | None
    followers_too: bool


class _Wanted(_Notice, tag="wanted", frozen=True):
    """Nodes of 0.1.0 name nobody."""

    tenants: list[Tenant] = []


_decoder: Final = msgspec.json.Decoder(
    _Progress | _Preview | _Summary | _Settled | _Failed | _Wanted
)


class Relay:
    """One wallet's. A `WalletObserver` for its sync pass on this node, and the journal's
    `TopicListener` for what is said on others; `observer` are those who are here."""

    __slots__ = ("_interest", "_topic", "_wallet", "observer")

    def __init__(
        self, wallet: str, observer: WalletObserver, interest: Interest, journal: Journal
    ) -> None:
        self.observer = observer
        self._wallet = wallet
        self._interest = interest
        self._topic: Topic = journal.topic(wallet, self)

    def close(self) -> None:
        self._topic.close()

    # What this node's pass tells.

    def on_progress(self, progress: event.Progress) -> None:
        self.observer.on_progress(progress)
        self._say(_Progress(progress))

    def on_preview(self, preview: event.Preview) -> None:
        self.observer.on_preview(preview)
        self._say(_Preview(preview))

    def on_summary(self, summary: Summary) -> None:
        self.observer.on_summary(summary)
        self._say(_Summary(summary))

    def on_settled(self) -> None:
        self.observer.on_settled()
        self._say(_Settled())

    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None:
        self.observer.on_failed(error, followers_too)
        self._say(_Failed(error.code, error.message, error.retry_after, followers_too))

    def on_unsettled(self) -> None:
        """Only for those who are here: others know what they wait for."""
        self.observer.on_unsettled()

    def want(self, tenants: Collection[Tenant]) -> None:
        """Ask whoever reads this wallet for the newest."""
        self._say(_Wanted(list(tenants)))

    def _say(self, notice: _Notice) -> None:
        self._topic.notify(encoding.encode(notice))

    # What is said on other nodes.

    def on_notice(self, notice: bytes) -> None:
        try:
            said = _decoder.decode(notice)
        except msgspec.MsgspecError:
            return  # of another version
        match said:
            case _Progress():
                self.observer.on_progress(said.progress)
            case _Preview():
                self.observer.on_preview(said.preview)
            case _Summary():
                self.observer.on_summary(said.summary)
            case _Settled():
                self._interest.on_answered(self._wallet, settled=True)
                self.observer.on_settled()
            case _Failed():
                self._interest.on_answered(self._wallet, settled=False)
                error = _ERRORS.get(said.code, InternalError)
                failure = error(said.message, retry_after=said.retry_after)
                self.observer.on_failed(failure, said.followers_too)
            case _Wanted():
                self._interest.on_wanted(self._wallet, said.tenants)

    def on_vacant(self) -> None:
        self._interest.on_vacant(self._wallet)
