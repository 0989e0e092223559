"""Events of a client, as small as they get."""

from decimal import Decimal
from typing import Any

from wd_client.events import Token, Trade


def token(symbol: str, amount: str = "1") -> Token:
    value = Decimal(amount)
    return Token(mint="M", symbol=symbol, decimals=9, amount=value, amount_raw="1")


def trade(signature: str = "s", **changes: Any) -> Trade:
    values: dict[str, Any] = {
        "id": "7-1",
        "signature": signature,
        "slot": 1,
        "timestamp": 1_756_640_000,
        "action": "sell",
        "token_in": token("BONK", "1234567.5"),
        "token_out": token("SOL", "0.25"),
        "fee_sol": Decimal("0.000005"),
        "cost_basis": "fifo",
        "unmatched_amount": Decimal(0),
        "position_amount": Decimal("0.00000001"),
        "priced": True,
        "dex": "jupiter",
        "confidence": "high",
        "commitment": "confirmed",
        "emitted_at": 1,
    }
    for name in ("price_usd", "value_usd", "value_sol", "pnl_usd", "pnl_sol"):
        values[name] = Decimal("-0.5")
    return Trade(**{**values, **changes})
