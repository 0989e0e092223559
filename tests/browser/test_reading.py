"""A wallet is chosen and read: what the page shows, and what can be done with it."""

import csv
import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import expect
from processes import ROOT, Server, Simulator, free_port, server, simulator
from tab import LARGE, USUAL, OpenTab, TradesOf

# Rows that exist at most, however many trades there are: those in sight and some around them.
ROWS_MOST = 60


def test_a_pasted_link_leads_to_the_wallets_whole_history(
    open_tab: OpenTab, served: Server, wallet: str, trades_of: TradesOf
) -> None:
    tab = open_tab(served.url)
    tab.enter(f" https://explorer.example/account/{wallet}?cluster=main ")
    tab.wait_until_live()
    assert tab.page.url == f"{served.url}/?wallet={wallet}"
    expect(tab.find("#address")).to_have_value(wallet)
    expect(tab.find("#progress")).to_be_hidden()
    expected = trades_of(served, wallet)
    assert len(expected) > 20
    tab.shows_trades(len(expected))
    assert tab.trades() == expected
    assert tab.signatures()[:5] == _signatures(expected)[::-1][:5]


def test_totals_positions_and_charts_say_what_the_server_says(
    open_tab: OpenTab, served: Server, chain: Simulator
) -> None:
    wallet = chain.wallet(USUAL)
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    report = served.get(f"/v4/wallet/{wallet}")
    summary, positions = report["summary"], report["positions"]
    for unit, decimals in (("sol", 4), ("usd", 2)):
        tab.find(f"input[value={unit}]").check(force=True)
        for total in ("realized_pnl", "volume"):
            value = abs(summary[f"{total}_{unit}"])
            expect(tab.find("#totals")).to_contain_text(f"{value:,.{decimals}f}")
        described = re.compile(rf"^Cumulative realized P&L from .* {unit.upper()}, lowest ")
        expect(tab.find("#pnl-chart")).to_have_attribute("aria-label", described)
    assert positions
    expect(tab.find("#positions-count")).to_have_text(str(len(positions)))
    expect(tab.find("#positions tbody tr")).to_have_count(len(positions))
    expect(tab.find(".plot canvas")).to_have_count(2)


def test_it_says_that_the_books_agree_with_the_chain(
    open_tab: OpenTab, served: Server, chain: Simulator
) -> None:
    tab = open_tab(served.url, chain.wallet(USUAL))
    tab.wait_until_live()
    agrees = r"^The books agree with the chain to the lamport at slot \d{3}(,\d{3})+\.$"
    expect(tab.find("#books")).to_have_text(re.compile(agrees))


def test_only_some_trades_in_the_other_order(
    open_tab: OpenTab, served: Server, chain: Simulator, trades_of: TradesOf
) -> None:
    wallet = chain.wallet(USUAL)
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    everything = trades_of(served, wallet)
    tab.find("#order").select_option("oldest")
    expect(tab.rows().first.locator("a")).to_have_attribute("title", everything[0]["signature"])

    tab.find("#side").select_option("sell")
    sells = [trade for trade in everything if trade["action"] == "sell"]
    assert 0 < len(sells) < len(everything)
    count = tab.find("#trades-count")
    expect(count).to_have_text(f"{len(sells)} of {len(everything)}")
    assert _signatures(tab.trades()) == _signatures(sells)

    mint = str(tab.find("#token option").nth(1).get_attribute("value"))
    tab.find("#token").select_option(mint)
    sold = [trade for trade in sells if mint in _mints(trade)]
    expect(count).to_have_text(f"{len(sold)} of {len(everything)}")

    rare = _token_without(everything, "swap")
    tab.find("#token").select_option(rare)
    tab.find("#side").select_option("swap")
    expect(tab.find("#no-trades")).to_contain_text("No trade is of this kind.")
    tab.find("#no-trades button").click()
    tab.shows_trades(len(everything))


def test_a_position_leads_to_its_trades(
    open_tab: OpenTab, served: Server, chain: Simulator, trades_of: TradesOf
) -> None:
    wallet = chain.wallet(USUAL)
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    position = tab.find("#positions tbody button").first
    mint = str(position.get_attribute("title")).removeprefix("Only trades of ")
    everything = trades_of(served, wallet)
    traded = set().union(*map(_mints, everything))
    held = {each["mint"] for each in served.get(f"/v4/wallet/{wallet}")["positions"]}
    assert held - traded, "no position without trades, which leads nowhere"
    expect(tab.find("#positions tbody button")).to_have_count(len(held & traded))
    position.click()
    expect(tab.find("#trades-title")).to_be_focused()
    expected = [trade for trade in everything if mint in _mints(trade)]
    assert _signatures(tab.trades()) == _signatures(expected)


def test_new_trades_come_on_top_and_what_is_read_stays_in_its_place(
    open_tab: OpenTab, served: Server, chain: Simulator
) -> None:
    wallet = chain.wallet(USUAL)
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    before = tab.trades_shown()
    first = chain.append(wallet, 12)
    tab.shows_trades(before + len(first))
    expect(tab.rows().first.locator("a")).to_have_attribute("title", first[-1])

    body = tab.find("#list .body")
    body.evaluate("body => { body.scrollTop = 34 * 100 }")
    expect(tab.rows().first).to_have_attribute("aria-rowindex", "94")  # 8 above what is in sight
    read = tab.signatures()
    second = chain.append(wallet, 12)
    newer = tab.find("#newer")
    expect(newer).to_have_text(f"↑ {len(second)} newer")
    assert tab.signatures() == read
    newer.click()
    expect(newer).to_be_hidden()
    assert tab.signatures()[0] == second[-1]


def test_thousands_of_trades_have_as_many_rows_as_can_be_seen(
    open_tab: OpenTab, served: Server, chain: Simulator, trades_of: TradesOf
) -> None:
    wallet = chain.wallet(LARGE)
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    expected = trades_of(served, wallet)
    assert len(expected) > 5000
    tab.shows_trades(len(expected))
    expect(tab.find("#list")).to_have_attribute("aria-rowcount", str(len(expected) + 1))
    assert tab.rows().count() < ROWS_MOST
    tab.find("#list .body").focus()
    tab.page.keyboard.press("End")
    oldest = expected[0]["signature"]
    expect(tab.rows().last.locator("a")).to_have_attribute("title", oldest)
    expect(tab.rows().last).to_be_in_viewport()
    expect(tab.rows().last).to_have_attribute("aria-rowindex", str(len(expected) + 1))
    assert tab.rows().count() < ROWS_MOST
    assert tab.trades() == expected


def test_csv_has_every_digit_and_no_formula(
    open_tab: OpenTab, served: Server, wallet: str, trades_of: TradesOf
) -> None:
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    text = tab.downloaded("csv")
    expected = trades_of(served, wallet)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["signature"] for row in rows] == _signatures(expected)
    for row, trade in zip(rows, expected, strict=True):
        leg = trade["token_in"]
        assert round(float(row["gave_amount"]) * 10 ** leg["decimals"]) == int(leg["amount_raw"])
        assert (float(row["pnl_sol"]) if row["pnl_sol"] else None) == trade["pnl_sol"]
    assert not re.search(r"(?m)(^|,)[=+@]", text)


def test_the_command_is_copied_and_gets_the_same_stream(
    open_tab: OpenTab, served: Server, wallet: str
) -> None:
    tab = open_tab(served.url, wallet, permissions=["clipboard-read", "clipboard-write"])
    tab.find("#copy-curl").click()
    expect(tab.find("#elsewhere-said")).to_have_text("Copied.")
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"curl -N '{served.url}/v4/wallet/{wallet}/stream?follow=true'"


def test_what_is_no_wallet_or_has_nothing_is_said(
    open_tab: OpenTab, served: Server, chain: Simulator, wallet: str
) -> None:
    tab = open_tab(served.url, "nonsense")
    problem, address = tab.find("#address-problem"), tab.find("#address")
    expect(problem).to_contain_text("This is no Solana address")
    expect(address).to_have_attribute("aria-invalid", "true")
    expect(tab.find("#start")).to_be_visible()
    address.fill("")
    expect(problem).to_be_hidden()
    tab.page.keyboard.press("Enter")
    expect(problem).to_have_text("Paste a wallet's address first.")
    tab.enter(wallet[:-1] + ("1" if wallet[-1] != "1" else "2") + "111")  # too long
    expect(problem).to_contain_text("This is no Solana address")
    expect(address).to_be_focused()

    empty = chain.wallet(0)
    tab.enter(empty)
    expect(tab.find("#no-trades")).to_contain_text("This wallet has no transactions.")
    expect(tab.find("#no-positions")).to_have_text("Nothing is held.")
    expect(tab.find("#chart")).to_be_hidden()


def test_back_and_forward_go_from_wallet_to_wallet(
    open_tab: OpenTab, served: Server, chain: Simulator, wallet: str
) -> None:
    tab = open_tab(served.url, wallet)
    tab.wait_until_live()
    count = tab.trades_shown()
    tab.enter(chain.wallet(0))
    tab.shows_trades(0)
    tab.page.go_back()
    tab.shows_trades(count)
    expect(tab.find("#address")).to_have_value(wallet)
    tab.find(".brand").click()
    recent = tab.find("#recent a")
    expect(recent).to_have_text([wallet, chain.wallet(0)])
    recent.first.click()
    tab.shows_trades(count)
    # One wallet at a time.
    served.wait_for("active_streams", 1)


def test_a_slow_analysis_shows_its_steps_and_the_newest_trades_first(
    open_tab: OpenTab, tmp_path: Path
) -> None:
    with (
        simulator("--only", "--wallets=2200", "--latency", "400") as slow,
        server(tmp_path, slow.url, UPSTREAM_PLAN="free") as started,
    ):
        tab = open_tab(started.url, slow.wallet(2200))
        # The preview: rows whose P&L isn't known yet.
        expect(tab.rows().first.locator(".pnl")).to_have_text("…")
        bar = tab.find("#progress-bar")
        expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]"))
        expect(tab.find("#progress-text")).to_contain_text("the wallet's transactions.")
        expect(tab.status).to_have_text("Receiving the history")
        expect(tab.find("#summary-span")).to_contain_text("so far")
        tab.wait_until_live()
        expect(tab.rows().first.locator(".pnl")).not_to_have_text("…")


def test_a_demo_offers_the_wallets_of_its_chain(open_tab: OpenTab) -> None:
    port = free_port()
    command = [sys.executable, str(ROOT / "bin/wd-server"), "--demo", "--port", str(port)]
    with subprocess.Popen(command, env={}, stdout=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            assert any("Ctrl-C" in line for line in demo.stdout)
            tab = open_tab(f"http://127.0.0.1:{port}")
            offered = tab.find("#examples")
            expect(offered).to_contain_text("simulated")
            offered.locator("li", has_text=" 200 transactions").locator("a").click()
            tab.wait_until_live()
            assert tab.trades_shown() > 100
        finally:
            demo.terminate()


def _signatures(trades: list[dict[str, Any]]) -> list[str]:
    return [trade["signature"] for trade in trades]


def _mints(trade: dict[str, Any]) -> set[str]:
    return {trade["token_in"]["mint"], trade["token_out"]["mint"]}


def _token_without(trades: list[dict[str, Any]], action: str) -> str:
    """A token that was traded, but never so, and isn't SOL."""
    every = set().union(*map(_mints, trades))
    with_it = set().union(*(_mints(trade) for trade in trades if trade["action"] == action))
    return min(every - with_it)
