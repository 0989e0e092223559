"""A wallet as JSON: what its journal holds, for those who don't stream."""

import msgspec
from tornado.web import HTTPError

from handlers.base import GuardedHandler
from handlers.query import page_query
from wd_server.errors import UnknownWallet
from wd_server.journal.base import EventId
from wd_server.streaming import event
from wd_server.trading.wallet import WalletAddress

# Bytes of stored events one answer may carry: 1,000 trades are about 900 KB.
PAGE_BYTES = 2 * 1024 * 1024


class WalletHandler(GuardedHandler):
    """Summary and open positions; 202 with the progress while the first analysis runs."""

    async def get(self, text: str) -> None:
        wallet = str(WalletAddress.parse(text))
        self.check_wallets((wallet,))
        report = await self.services.analysis.report(wallet)
        if report is None:
            raise _unknown()
        self.send_json(report, 202 if report.status == "running" else 200)

    head = get


class TradesHandler(GuardedHandler):
    """The stored trades, oldest first; `next` is the `after` of the next page, null at the end."""

    async def get(self, text: str) -> None:
        wallet = str(WalletAddress.parse(text))
        self.check_wallets((wallet,))
        after, limit = page_query(self.query())
        journal = self.services.journal
        head = await journal.head(wallet)
        if head is None:
            raise _unknown()
        if after is not None and (after.run != head.run or after.seq > head.seq):
            raise HTTPError(
                410, reason="This position is no longer stored. Start again without `after`."
            )
        position = after.seq if after else 0
        trades: list[msgspec.Raw] = []
        while len(trades) < limit and position < head.seq:
            entries = await journal.read(
                wallet, head.run, position, limit - len(trades), PAGE_BYTES
            )
            if not entries:
                break
            position = entries[-1].seq
            trades += [msgspec.Raw(entry.payload) for entry in entries if entry.kind == event.TRADE]
        more = position < head.seq
        self.send_json(
            {
                "wallet": wallet,
                "trades": trades,
                "next": str(EventId(head.run, position)) if more else None,
            }
        )

    head = get


def _unknown() -> UnknownWallet:
    return UnknownWallet("This wallet was never analysed here. Open its stream to start that.")
