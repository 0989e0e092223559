import csv
import io
import json
from decimal import Decimal

import pytest
from samples import token, trade
from wd_client.errors import Unreachable
from wd_client.events import Away, Event, Gap, Heartbeat, Retract, Trades

from wd_tools.watch.records import COLUMNS, as_csv, as_json, csv_head


def rows(*events: Event) -> list[dict[str, str]]:
    text = csv_head() + "".join(map(as_csv, events))
    return list(csv.DictReader(io.StringIO(text), strict=True))


def test_a_trade_is_a_row_with_all_digits() -> None:
    (row,) = rows(trade(pnl_sol=Decimal("1E-9"), pnl_usd=None))
    assert tuple(row) == COLUMNS
    assert (row["event"], row["gave"], row["got_symbol"]) == ("trade", "1234567.5", "SOL")
    assert (row["pnl_sol"], row["pnl_usd"]) == ("0.000000001", "")


def test_a_batch_is_its_rows_and_what_is_no_change_of_trades_is_none() -> None:
    trades = (trade("a"), trade("b"))
    batch = Trades(trades=trades, batch_num=1, total_yielded=2, has_more=False, timestamp=1)
    assert [row["signature"] for row in rows(batch, Heartbeat(timestamp=1))] == ["a", "b"]


def test_a_row_has_what_tells_trades_of_a_transaction_apart_and_each_fee_at_its_end() -> None:
    fees = {"network_fee_sol": Decimal("0.000005"), "tip_sol": Decimal("0.001")}
    keyed = trade("a", part=1, parts=2, block_index=7, replaces="7-1", **fees)
    (row, old) = rows(keyed, trade("b"))
    added = ("part", "parts", "block_index", "replaces")
    assert [row[name] for name in added] == ["1", "2", "7", "7-1"]
    assert [row["network_fee_sol"], row["tip_sol"]] == ["0.000005", "0.001"]
    assert COLUMNS[-7:] == (*added, "network_fee_sol", "tip_sol", "platform_fee_sol")
    assert {old[name] for name in COLUMNS[-7:]} == {""}


def test_a_retract_and_a_gap_have_rows_so_that_a_reader_can_follow() -> None:
    (retract, gap) = rows(
        Retract(id="7-3", signature="s"), Gap(reason="reset", from_id="1-1", to_id=None)
    )
    assert (retract["event"], retract["signature"]) == ("retract", "s")
    assert gap["event"] == "gap"


@pytest.mark.parametrize("symbol", ["=1+1", "+x", "-x", "@x", "\tx"])
def test_a_symbol_is_no_formula(symbol: str) -> None:
    (row,) = rows(trade(token_in=token(symbol)))
    assert row["gave_symbol"] == f"'{symbol}"


def test_a_symbol_with_commas_quotes_and_lines_stays_one_field() -> None:
    (row,) = rows(trade(token_in=token('a,"b"\nc')))
    assert row["gave_symbol"] == 'a,"b"\nc'


def test_a_line_of_json_has_the_data_as_it_was_sent() -> None:
    line = as_json(trade(id="7-1", data={"fee_sol": Decimal("0.10"), "new": 1}))
    assert line == '{"event":"trade","id":"7-1","data":{"fee_sol":0.10,"new":1}}\n'


def test_being_away_is_a_line_too() -> None:
    away = json.loads(as_json(Away(seconds=1.23456, cause=Unreachable("Gone."))))
    assert away == {"event": "away", "data": {"seconds": 1.235, "reason": "Gone."}}
