"""How publishers of prices are asked and how they answer. Pure: no I/O, no clock.

DefiLlama: coins API, `GET /batchHistorical?coins={"solana:<mint>":[<unix>,..]}&searchWidth=<s>`
gives `{"coins": {"solana:<mint>": {"prices": [{"timestamp", "price", "confidence"}]}}}`, without
the coins it doesn't know; no key. Birdeye: `GET /defi/history_price` gives
`{"success", "data": {"items": [{"unixTime", "value"}]}}`, `GET /defi/historical_price_unix` gives
`{"success", "data": {"value", "updateUnixTime"}}`; a key. Both answer with the point nearest to
the time asked for, under that point's own time.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, Protocol
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw, Struct

from wd_server.chain.payloads import Time, readable

DEFILLAMA_URL = "https://coins.llama.fi"
BIRDEYE_URL = "https://public-api.birdeye.so"

# Seconds between the minute asked for and a point that may stand for it. Older points of
# DefiLlama lie up to an hour apart; Birdeye has one for each minute in which there was a trade.
DEFILLAMA_WIDTH = 3600
BIRDEYE_WIDTH = 300
# The same for a token that isn't one of STEADY_MINTS, at any source: a new one may be worth ten
# times as much an hour later, and a wrong price is worse than none. Recent points of DefiLlama lie
# up to five minutes apart.
MOVING_WIDTH = 300

# Tokens whose price hardly moves within an hour: SOL, liquid staking tokens, and wrapped coins of
# other chains. Stable coins count at their face without a quote.
STEADY_MINTS = frozenset(
    {
        "So11111111111111111111111111111111111111112",
        "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn",  # JitoSOL
        "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So",
        "bSo13r4TkiE4KumL71LsHTPpL2euBYLFx6h9HP3piy1",
        "jupSoLaHXQiZZTSfEWMTRRgpnyFm8f6sZdosWBjx93v",
        "5oVNBeEEQvYi1cX3ir8Dx5n1P7pdxydbGF2X4TxVusJm",  # INF
        "7dHbWXmci3dT8UFYWYZweBLXgycu7Y3iL6trKn1Y7ARj",  # stSOL
        "7vfCXTUXx5WJV5JADk17DUJ4ksgau7utNKj4b963voxs",  # wrapped ETH
        "3NZ9JMVBmGAqocybic2c7LQCKScmgsAZ6vQqTDzcqmJh",  # wrapped BTC
        "cbbtcf3aa214zXHbiAZQwf4122FBYbraNdFqgw4iMij",
    }
)

# Points a request: its URL then has 1,000 to 6,000 characters, below the 8 KB servers take.
DEFILLAMA_POINTS = 60
# DefiLlama's own estimate of a price, 0 to 1; below this it doubts it itself.
DEFILLAMA_CONFIDENCE = Decimal("0.5")

# Minutes a history request may span: Birdeye answers with at most 1,000 points.
BIRDEYE_SPAN = 1000
# A history request costs 60 units and a single price 10: up to this many singles are cheaper.
BIRDEYE_SINGLES = 5
# Seconds from one request to the next: the free plan takes about one a second.
BIRDEYE_SPACING = 1.0

PriceKey = tuple[str, int]
"""A mint and a minute (unix seconds // 60)."""

Prices = Iterator[tuple[PriceKey, Decimal]]


class Answers(NamedTuple):
    """`prices` as they stand in the JSON, so they may be anything; `unread`: coins and points that
    couldn't be read."""

    prices: Sequence[tuple[PriceKey, Decimal]]
    unread: int = 0


class Question(NamedTuple):
    """One request: path and query to GET, and the keys it should answer."""

    path: str
    keys: Sequence[PriceKey]


class PriceSource(Protocol):
    @property
    def base_url(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def spacing(self) -> float:
        """Seconds from one request to the next; 0: several at once."""

    def questions(self, keys: Sequence[PriceKey]) -> Iterator[Question]:
        """The requests that ask for `keys`, which are sorted."""

    def answers(self, question: Question, body: bytes) -> Answers:
        """What an answer says of the question's keys. Raises one of UNREADABLE for a body that is
        no answer."""


class _LlamaPoint(Struct):
    timestamp: Time
    price: Decimal | None = None
    confidence: Decimal | None = None


class _LlamaCoin(Struct):
    prices: list[Raw] = []


class _LlamaBatch(Struct):
    coins: dict[str, Raw]


_llama_coin = msgspec.json.Decoder(_LlamaCoin)
_llama_point = msgspec.json.Decoder(_LlamaPoint)


class DefiLlama:
    headers: Mapping[str, str] = {}
    spacing = 0.0

    def __init__(self, base_url: str = DEFILLAMA_URL) -> None:
        self.base_url = base_url

    def questions(self, keys: Sequence[PriceKey]) -> Iterator[Question]:
        for start in range(0, len(keys), DEFILLAMA_POINTS):
            part = keys[start : start + DEFILLAMA_POINTS]
            coins = {
                f"solana:{mint}": [minute * 60 for _, minute in group]
                for mint, group in groupby(part, itemgetter(0))
            }
            asked = quote(msgspec.json.encode(coins), safe=":,")
            yield Question(f"/batchHistorical?coins={asked}&searchWidth={DEFILLAMA_WIDTH}", part)

    def answers(self, question: Question, body: bytes) -> Answers:
        coins = msgspec.json.decode(body, type=_LlamaBatch).coins
        prices: list[tuple[PriceKey, Decimal]] = []
        unread = 0
        for mint, keys in groupby(question.keys, itemgetter(0)):
            coin_json = coins.get(f"solana:{mint}")
            told = [] if coin_json is None else [coin_json]
            read = readable(told, _llama_coin)
            unread += len(told) - len(read)
            for coin in read:
                known = readable(coin.prices, _llama_point)
                unread += len(coin.prices) - len(known)
                points = [(each.timestamp, each.price) for each in known if not _is_doubtful(each)]
                prices += _nearest(keys, points, _width(mint, DEFILLAMA_WIDTH))
        return Answers(prices, unread)


class _BirdeyePoint(Struct, rename="camel"):
    unix_time: Time
    value: Decimal | None = None


class _BirdeyeData(Struct, rename="camel"):
    items: list[Raw] | None = None
    value: Decimal | None = None
    update_unix_time: Time | None = None


class _BirdeyeAnswer(Struct):
    success: bool
    data: _BirdeyeData | None = None


_birdeye_point = msgspec.json.Decoder(_BirdeyePoint)


class Birdeye:
    spacing = BIRDEYE_SPACING

    def __init__(self, api_key: str, base_url: str = BIRDEYE_URL) -> None:
        self.base_url = base_url
        self.headers: Mapping[str, str] = {
            "X-API-KEY": api_key,
            "x-chain": "solana",
            "Accept": "application/json",
        }

    def questions(self, keys: Sequence[PriceKey]) -> Iterator[Question]:
        for window in _windows(keys):
            if len(window) > BIRDEYE_SINGLES:
                yield _history(window)
                continue
            for mint, minute in window:
                query = urlencode({"address": mint, "unixtime": minute * 60})
                yield Question(f"/defi/historical_price_unix?{query}", [(mint, minute)])

    def answers(self, question: Question, body: bytes) -> Answers:
        answer = msgspec.json.decode(body, type=_BirdeyeAnswer)
        data = answer.data
        if not answer.success or data is None:
            return Answers(())
        items = readable(data.items or (), _birdeye_point)
        points = [(point.unix_time, point.value) for point in items]
        if data.value is not None:
            asked_for = question.keys[0][1] * 60
            at = asked_for if data.update_unix_time is None else data.update_unix_time
            points.append((at, data.value))
        prices = list(_nearest(question.keys, points, BIRDEYE_WIDTH))
        return Answers(prices, len(data.items or ()) - len(items))


def _windows(keys: Sequence[PriceKey]) -> Iterator[list[PriceKey]]:
    """Runs of sorted keys of one mint that one history request can cover."""
    window: list[PriceKey] = []
    for key in keys:
        if window and (key[0] != window[0][0] or key[1] - window[0][1] >= BIRDEYE_SPAN):
            yield window
            window = []
        window.append(key)
    if window:
        yield window


def _history(window: Sequence[PriceKey]) -> Question:
    query = urlencode(
        {
            "address": window[0][0],
            "address_type": "token",
            "type": "1m",
            "time_from": window[0][1] * 60,
            "time_to": window[-1][1] * 60,
        }
    )
    return Question(f"/defi/history_price?{query}", window)


def _width(mint: str, width: int) -> int:
    return width if mint in STEADY_MINTS else min(width, MOVING_WIDTH)


def _nearest(
    keys: Iterable[PriceKey], points: Iterable[tuple[int, Decimal | None]], width: int
) -> Prices:
    """For each key the price of the point nearest to its minute, if one is within `width`."""
    # By time alone: a price may still be a NaN, which can't be compared.
    known = sorted(((at, price) for at, price in points if price is not None), key=itemgetter(0))
    times = [at for at, _ in known]
    for key in keys:
        asked_for = key[1] * 60
        after = bisect_left(times, asked_for)
        near = known[max(0, after - 1) : after + 1]
        if near:
            at, price = min(near, key=lambda point: abs(point[0] - asked_for))
            if abs(at - asked_for) <= width:
                yield key, price


def _is_doubtful(point: _LlamaPoint) -> bool:
    confidence = point.confidence
    if confidence is None:
        return False
    return not confidence.is_finite() or confidence < DEFILLAMA_CONFIDENCE
