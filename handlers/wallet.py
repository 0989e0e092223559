"""A wallet as JSON: what its journal holds, for those who don't stream."""

from collections.abc import Container, Sequence
from typing import NamedTuple, cast

import msgspec
from msgspec import UNSET
from tornado.web import HTTPError

from handlers.answers import MovementPage, TradePage
from handlers.base import GuardedHandler
from handlers.parameters import ADDRESS, INCLUDE, SIGNATURE, page_query
from wd_server.errors import UnknownWallet
from wd_server.events import kinds
from wd_server.events.event import Movement
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry
from wd_server.sync.checkpoint import retracted_in
from wd_server.trading.trade import Trade

# Bytes of stored events that one answer reads, also those that it doesn't show: 1,000 trades are
# about 900 KB.
PAGE_BYTES = 2 * 1024 * 1024


class WalletHandler(GuardedHandler):
    """A wallet's summary and open positions; 202 with the progress while it is first read."""

    async def get(self, text: str) -> None:
        wallet = ADDRESS.parse(text)
        self.check_wallets((wallet,))
        report = await self.services.sessions.report(wallet)
        if report is None:
            raise _unknown()
        self.send_json(report, 202 if report.status == "running" else 200)

    head = get


class _Retracted(msgspec.Struct):
    signature: str


_retracted = msgspec.json.Decoder(_Retracted)


class EntriesPage(NamedTuple):
    """Stored entries of one journal. `following`: the `after` of the next page, None at the end."""

    entries: list[Entry]
    following: str | None

    def payloads(self, kind: str, without: Container[int] = ()) -> list[msgspec.Raw]:
        """As they are stored, but those with these sequence numbers."""
        return [
            msgspec.Raw(entry.payload)
            for entry in self.entries
            if entry.kind == kind and entry.seq not in without
        ]


class PagesHandler(GuardedHandler):
    """A subclass answers `get` with a page."""

    async def page(self, wallet: str, kinds_shown: frozenset[str]) -> EntriesPage:
        """Entries of these kinds, as the query says. Raises InvalidParameter, UnknownWallet,
        HTTPError, StoreUnavailable."""
        after, limit = page_query(self.query())
        head = await self.services.journal.head(wallet)
        if head is None:
            raise _unknown()
        if after is not None and (after.epoch != head.epoch or after.seq > head.seq):
            raise HTTPError(
                410, reason="This position is no longer stored. Start again without `after`."
            )
        found: list[Entry] = []
        seq, size = after.seq if after else 0, 0
        while len(found) < limit and seq < head.seq and size < PAGE_BYTES:
            read = await self.services.journal.read(
                wallet, head.epoch, seq, limit - len(found), PAGE_BYTES - size
            )
            if not read:
                break
            seq = read[-1].seq
            size += sum(len(entry.payload) for entry in read)
            found += [entry for entry in read if entry.kind in kinds_shown]
        return EntriesPage(found, str(EventId(head.epoch, seq)) if seq < head.seq else None)


class TradesHandler(PagesHandler):
    """The stored trades, oldest first. `retracted`: signatures of trades that earlier pages had and
    that count no more."""

    async def get(self, text: str) -> None:
        wallet = ADDRESS.parse(text)
        self.check_wallets((wallet,))
        includes = INCLUDE.read(self.query()) is not None
        page = await self.page(wallet, kinds.LASTING if includes else kinds.COUNTED)
        # Only now, so that it knows of everything that was read.
        gone = retracted_in(await self.services.journal.checkpoint(wallet) or b"")
        trades = cast(Sequence[Trade], page.payloads(kinds.TRADE, gone))
        retracted = [
            _retracted.decode(entry.payload).signature
            for entry in page.entries
            if entry.kind == kinds.RETRACT
        ]
        movements = cast(Sequence[Movement], page.payloads(kinds.MOVEMENT))
        self.send_json(
            TradePage(wallet, trades, retracted, page.following, movements if includes else UNSET)
        )

    head = get


class MovementsHandler(PagesHandler):
    """The stored movements, in the order of storage."""

    async def get(self, text: str) -> None:
        wallet = ADDRESS.parse(text)
        self.check_wallets((wallet,))
        page = await self.page(wallet, kinds.INCLUDED)
        movements = cast(Sequence[Movement], page.payloads(kinds.MOVEMENT))
        self.send_json(MovementPage(wallet, movements, page.following))

    head = get


class ExplainHandler(GuardedHandler):
    """One transaction explained, from what is stored of the wallet."""

    async def get(self, text: str, signature_text: str) -> None:
        wallet, signature = ADDRESS.parse(text), SIGNATURE.parse(signature_text)
        self.check_wallets((wallet,))
        services = self.services
        if await services.journal.head(wallet) is None:
            raise _unknown()
        explanation = await services.explainer.explain(wallet, signature)
        if explanation is None:
            raise HTTPError(
                404,
                reason="Nothing is stored of this transaction: it moved nothing of this wallet, or "
                "it isn't read yet.",
            )
        self.send_json(explanation)

    head = get


def _unknown() -> UnknownWallet:
    return UnknownWallet("This wallet was never analysed here. Open its stream to start that.")
