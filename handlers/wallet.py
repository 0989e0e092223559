"""A wallet as JSON: what its journal holds, for those who don't stream."""

from collections.abc import Sequence
from typing import cast

import msgspec
from tornado.web import HTTPError

from handlers.answers import TradePage
from handlers.base import GuardedHandler
from handlers.parameters import ADDRESS, page_query
from wd_server.errors import UnknownWallet
from wd_server.events import kinds
from wd_server.events.ids import EventId
from wd_server.journal.base import Entry, Head
from wd_server.sync.checkpoint import retracted_in
from wd_server.trading.trade import Trade

# Bytes of stored events one answer may carry: 1,000 trades are about 900 KB.
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


class TradesHandler(GuardedHandler):
    """The stored trades, oldest first; `next` is the `after` of the next page, null at the end.
    `retracted`: signatures of trades that earlier pages had and that count no more."""

    async def get(self, text: str) -> None:
        wallet = ADDRESS.parse(text)
        self.check_wallets((wallet,))
        after, limit = page_query(self.query())
        journal = self.services.journal
        head = await journal.head(wallet)
        if head is None:
            raise _unknown()
        if after is not None and (after.epoch != head.epoch or after.seq > head.seq):
            raise HTTPError(
                410, reason="This position is no longer stored. Start again without `after`."
            )
        position = after.seq if after else 0
        read = await self._entries(wallet, head, position, limit)
        position = read[-1].seq if read else position
        # Only now, so that it knows of everything that was read.
        gone = retracted_in(await journal.checkpoint(wallet) or b"")
        trades = [
            msgspec.Raw(entry.payload)
            for entry in read
            if entry.kind == kinds.TRADE and entry.seq not in gone
        ]
        retracted = [
            _retracted.decode(entry.payload).signature
            for entry in read
            if entry.kind == kinds.RETRACT
        ]
        more = position < head.seq
        following = str(EventId(head.epoch, position)) if more else None
        self.send_json(TradePage(wallet, cast(Sequence[Trade], trades), retracted, following))

    head = get

    async def _entries(self, wallet: str, head: Head, after: int, limit: int) -> list[Entry]:
        """As many after `after` as there are, at most `limit`."""
        found: list[Entry] = []
        while len(found) < limit and after < head.seq:
            entries = await self.services.journal.read(
                wallet, head.epoch, after, limit - len(found), PAGE_BYTES
            )
            if not entries:
                break
            after = entries[-1].seq
            found += entries
        return found


def _unknown() -> UnknownWallet:
    return UnknownWallet("This wallet was never analysed here. Open its stream to start that.")
