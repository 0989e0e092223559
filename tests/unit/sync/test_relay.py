"""What nodes tell each other about a wallet arrives as it was told."""

import asyncio
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path

from msgspec import structs

from wd_server.chain.turns import Tenant
from wd_server.embedded.journal import SqliteJournal
from wd_server.errors import UpstreamQuota, WalletDoctorError
from wd_server.events import event
from wd_server.sync.relay import Relay
from wd_server.trading.ledger import Ledger
from wd_server.trading.summary import Summary
from wd_server.trading.trade import TokenAmount, Trade

ALICE = Tenant("key:alice", 100)
WALLET = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
PROGRESS = event.Progress("Reading.", 40, "fetching_transactions", 3, 2, 1, 1000)
SUMMARY = structs.replace(
    Ledger("fifo").summary(), realized_pnl_sol=Decimal("0.000000001"), trades=3
)
TOKEN = TokenAmount("mint", "SOL", 9, Decimal("1.000000001"), "1000000001")
TRADE = Trade(
    signature="signature", slot=1, timestamp=2, action="buy", token_in=TOKEN, token_out=TOKEN,
    price_usd=None, value_usd=None, value_sol=Decimal("0.1"), fee_sol=Decimal(0), pnl_usd=None,
    pnl_sol=None, cost_basis="fifo", unmatched_amount=Decimal(0),
    position_amount=Decimal("12345678901234567890.123456789"), priced=False, dex="dex",
    confidence="high", commitment="confirmed", emitted_at=1000,
)  # fmt: skip


class Told:
    """An observer and an interest that note what they are told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.finished = True

    def on_progress(self, progress: event.Progress) -> None:
        self.told.append(progress)

    def on_preview(self, preview: event.Preview) -> None:
        self.told.append(preview)

    def on_summary(self, summary: Summary) -> None:
        self.told.append(summary)

    def on_unsettled(self) -> None:
        self.told.append("unsettled")

    def on_settled(self) -> None:
        self.told.append("settled")

    def on_failed(self, error: WalletDoctorError, followers_too: bool) -> None:
        self.told.append((error.code, error.message, error.retry_after, followers_too))

    def on_wanted(self, wallet: str, tenants: Collection[Tenant]) -> None:
        self.told.append(("wanted", wallet, *tenants))

    def on_answered(self, wallet: str, settled: bool) -> None:
        self.told.append(("answered", settled))

    def on_vacant(self, wallet: str) -> None:
        self.told.append(("vacant", wallet))


def test_what_a_pass_tells_here_is_told_there_and_nothing_else(tmp_path: Path) -> None:
    async def scene() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        here, there = Told(), Told()
        relay = Relay(WALLET, here, here, journal)
        Relay(WALLET, there, there, journal)
        topic = journal.topic(WALLET, Relay("another", Told(), Told(), journal))
        preview = event.Preview([TRADE], 1000)
        relay.on_progress(PROGRESS)
        relay.on_preview(preview)
        relay.on_unsettled()
        topic.notify(b'{"said":"something newer"}')
        topic.notify(b"\xff")
        relay.on_summary(SUMMARY)
        relay.on_failed(UpstreamQuota("Used up.", retry_after=60), True)
        relay.on_settled()
        relay.want([ALICE])
        await asyncio.sleep(0)
        failed = ("UPSTREAM_QUOTA", "Used up.", 60, True)
        assert here.told == [PROGRESS, preview, "unsettled", SUMMARY, failed, "settled"]
        assert there.told == [
            PROGRESS, preview, SUMMARY, ("answered", False), failed, ("answered", True),
            "settled", ("wanted", WALLET, ALICE),
        ]  # fmt: skip
        relay.close()
        await journal.close()

    asyncio.run(scene())


def test_a_node_of_0_1_0_does_not_say_who_wants_a_wallet(tmp_path: Path) -> None:
    async def scene() -> None:
        journal = SqliteJournal(tmp_path / "journal.db")
        await journal.open()
        told = Told()
        relay = Relay(WALLET, told, told, journal)
        relay.on_notice(b'{"said":"wanted"}')
        assert told.told == [("wanted", WALLET)]
        relay.close()
        await journal.close()

    asyncio.run(scene())
