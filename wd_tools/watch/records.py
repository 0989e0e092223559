"""Events for other programs: a line of JSON each, or a row of CSV for each change of the trades."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

import msgspec
from wd_client import kinds
from wd_client.events import EVENTS, Away, Complete, Event, Gap, Other, Retract, Trade, Trades

from wd_tools.watch.board import reason
from wd_tools.watch.figures import is_plain, moment, printable

_encoder = msgspec.json.Encoder(decimal_format="number")
_NAMES = {data: name for name, data in EVENTS.items()}

COLUMNS = (
    *("event", "id", "time", "slot", "signature", "action"),
    *("gave", "gave_mint", "gave_symbol", "got", "got_mint", "got_symbol"),
    *("price_usd", "value_usd", "value_sol", "fee_sol", "pnl_usd", "pnl_sol"),
    *("unmatched_amount", "position_amount", "dex", "confidence"),
    *("part", "parts", "block_index", "replaces"),
    *("network_fee_sol", "tip_sol", "platform_fee_sol"),
)
# A spreadsheet takes a text that begins so for a formula, and texts are anybody's. The last four
# are the wide forms of the first, which some take as well.
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What a field may hold that isn't printable. A carriage return isn't quoted and would begin a row.
_BLANKS = "\t\n"


def as_json(event: Event) -> str:
    """`event`, `id` where it has one, of a `complete` whether it was `verified`, and `data` as the
    server sent it."""
    if isinstance(event, Away):
        data = {"seconds": round(event.seconds, 3), "reason": reason(event)}
        return _line({"event": "away", "data": data})
    name = event.name if isinstance(event, Other) else _NAMES[type(event)]
    identified = {"id": event.id} if event.id is not None else {}
    verified = {"verified": event.verified} if isinstance(event, Complete) else {}
    return _line({"event": name, **identified, **verified, "data": event.data})


def csv_head() -> str:
    return _row(COLUMNS)


def as_csv(event: Event) -> str:
    """No rows, one, or those of a batch. After `gap` what came before doesn't count; `retract`
    takes every trade of its signature back."""
    if isinstance(event, Trade):
        return _row(_trade(event))
    if isinstance(event, Trades):
        return "".join(_row(_trade(trade)) for trade in event.trades)
    if isinstance(event, Retract):
        return _row((kinds.RETRACT, event.id, "", "", event.signature))
    if isinstance(event, Gap):
        return _row((kinds.GAP,))
    return ""


def _trade(trade: Trade) -> Sequence[object]:
    sold, bought = trade.token_in, trade.token_out
    return (
        *(kinds.TRADE, trade.id, moment(trade.timestamp), trade.slot),
        *(trade.signature, trade.action),
        *(sold.amount, sold.mint, sold.symbol),
        *(bought.amount, bought.mint, bought.symbol),
        *(trade.price_usd, trade.value_usd, trade.value_sol, trade.fee_sol),
        *(trade.pnl_usd, trade.pnl_sol, trade.unmatched_amount, trade.position_amount),
        *(trade.dex, trade.confidence),
        *(trade.part, trade.parts, trade.block_index, trade.replaces),
        *(trade.network_fee_sol, trade.tip_sol, trade.platform_fee_sol),
    )


def _harmless(text: str) -> str:
    """No formula, and nothing that would steer a terminal."""
    shown = "".join(each if each in _BLANKS else printable(each) for each in text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _row(values: Sequence[object]) -> str:
    text = io.StringIO()
    padded = [*values, *[""] * (len(COLUMNS) - len(values))]
    csv.writer(text, lineterminator="\n").writerow(map(_plain, padded))
    return text.getvalue()


def _plain(value: object) -> str:
    """Numbers without an exponent, as far as there can be such amounts."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}" if is_plain(value) else str(value)
    return _harmless(value) if isinstance(value, str) else str(value)


def _line(record: dict[str, object]) -> str:
    """Unprintable characters stand only within strings of JSON, where they may be escaped."""
    text = _encoder.encode(record).decode()
    if not text.isprintable():
        text = "".join(each if each.isprintable() else _escaped(each) for each in text)
    return text + "\n"


def _escaped(character: str) -> str:
    """As JSON has it: of what is beyond 16 bits the two surrogates."""
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
