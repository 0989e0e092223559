"""A wallet of the simulated market, as a Solana RPC would give its transactions."""

import asyncio

import msgspec

from wd_server.chain.payloads import Transaction
from wd_tools.simulator.clock import Clock
from wd_tools.simulator.market import Market


def simulated(size: int) -> tuple[str, list[Transaction]]:
    """Its address, and its transactions, oldest first."""
    market = Market(11, (size,), Clock(1_788_220_800, lambda: 0.0))
    address = market.wallets[0].address
    wallet = asyncio.run(market.wallet(address))
    assert wallet is not None
    decoder = msgspec.json.Decoder(Transaction)
    return address, [decoder.decode(b"{" + entry.body) for entry in wallet.entries]
