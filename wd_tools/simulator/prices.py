"""USD prices, and the routes of DefiLlama's coins API that tell them.

Shapes as recorded from coins.llama.fi: unknown coins are left out.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from wd_tools.simulator.mints import JITOSOL, MSOL, SOL, STABLES, Mint, Mints
from wd_tools.simulator.scene import LAMPORTS

CONFIDENCE: Final = 0.99
LONGEST_CHART: Final = 500  # points; DefiLlama's own limit
_PERIODS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DAY: Final = 86_400


def sol_usd(at: int) -> float:
    """A smooth function of unix time between 120 and 220, in steps of a minute."""
    days = (at - at % 60) / _DAY
    wave = 0.6 * math.sin(days / 9) + 0.3 * math.sin(days / 2.3) + 0.1 * math.sin(days * 5)
    return round(170 + 50 * wave, 4)


class Prices:
    """What the price routes answer. `now` is unix seconds."""

    def __init__(self, mints: Mints) -> None:
        self._mints = mints

    def at(self, coins: Iterable[str], timestamp: int) -> dict[str, Any]:
        """/prices/current and /prices/historical."""
        found = {}
        for coin, mint, usd in self._known(coins, timestamp):
            found[coin] = {
                "decimals": mint.decimals,
                "symbol": mint.symbol,
                "price": usd,
                "timestamp": timestamp,
                "confidence": CONFIDENCE,
            }
        return {"coins": found}

    def batch(self, asked: Mapping[str, Sequence[int]]) -> dict[str, Any]:
        """/batchHistorical: coin -> unix timestamps."""
        found: dict[str, Any] = {}
        for coin, times in asked.items():
            for timestamp in times:
                for _, mint, usd in self._known((coin,), timestamp):
                    series = found.setdefault(coin, {"symbol": mint.symbol, "prices": []})
                    point = {"timestamp": timestamp, "price": usd, "confidence": CONFIDENCE}
                    series["prices"].append(point)
        return {"coins": found}

    def chart(self, coins: Iterable[str], start: int, span: int, period: int) -> dict[str, Any]:
        """/chart: `span` points, `period` seconds apart."""
        found: dict[str, Any] = {}
        times = range(start, start + min(span, LONGEST_CHART) * period, period)
        for coin, mint, _ in self._known(coins, start):
            found[coin] = {
                "symbol": mint.symbol,
                "confidence": CONFIDENCE,
                "decimals": mint.decimals,
                "prices": [{"timestamp": at, "price": _usd(mint, at)} for at in times],
            }
        return {"coins": found}

    def _known(self, coins: Iterable[str], at: int) -> Iterable[tuple[str, Mint, float]]:
        for coin in coins:
            chain, _, address = coin.partition(":")
            mint = SOL if coin == "coingecko:solana" else self._mints.by_address.get(address)
            if mint is not None and (chain == "solana" or mint is SOL) and _priced(mint):
                yield coin, mint, _usd(mint, at)


def period_seconds(text: str) -> int:
    """`30m`, `4h`, `1d`, `2w`. Raises ValueError."""
    unit = _PERIODS.get(text[-1:].lower())
    return int(text[:-1]) * unit if unit else int(text)


def _priced(mint: Mint) -> bool:
    return mint in (SOL, MSOL, JITOSOL, *STABLES)


def _usd(mint: Mint, at: int) -> float:
    return round(sol_usd(at) * mint.price / LAMPORTS, 4) if mint.price else 1.0
