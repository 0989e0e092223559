"""What the page shows and keeps when the connection breaks, ends or is refused."""

import re
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from playwright.sync_api import expect
from processes import PATIENCE, Server, Simulator, server, simulator
from stored_entries import store
from tab import OpenTab, TradesOf

RESUMED = "Live, resumed"
TABS = 8
HOSTILE_MARKUP = "<img src=x onerror=alert(1)>"
HOSTILE_FORMULA = "=1+cmd|'/C calc'!A0"
# Transactions of a wallet that takes more than one request, and can be met in its middle.
MIDDLING = 900
# A page is told to be back within so many seconds; long enough that the test sees the time run.
DRAIN_SECONDS = 5


def test_a_server_killed_in_the_middle_costs_no_row_and_doubles_none(
    open_tab: OpenTab, tmp_path: Path, trades_of: TradesOf
) -> None:
    with (
        simulator("--only", "--no-gtfa", "403", f"--wallets={MIDDLING}") as chain,
        server(tmp_path, chain.url) as started,
    ):
        wallet = chain.wallet(MIDDLING)
        _hang_in_the_middle(chain, wallet)
        tab = open_tab(started.url, wallet)
        expect(tab.find("#trades-count")).to_have_text(re.compile("^[1-9]"))
        tab.unreachable = True
        started.kill()
        expect(tab.status).to_have_text("Interrupted. The connection broke.")
        expect(tab.find("#status-wait")).to_have_text(re.compile(r"^Reconnecting in \d+ s$"))
        expect(tab.find("#summary-span")).to_contain_text("so far")
        before = _signatures(tab.trades())
        chain.call("simReset")
        started.start()
        expect(tab.status).to_have_text(RESUMED)
        expected = trades_of(started, wallet)
        assert 0 < len(before) < len(expected)
        tab.shows_trades(len(expected))
        assert tab.trades() == expected
        assert started.metrics()['resumes_total{outcome="resumed"}'] == 1


def test_a_draining_server_is_named_and_the_page_comes_back_when_it_was_told_to(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, DRAIN_SECONDS=DRAIN_SECONDS) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        shown = tab.trades()
        tab.unreachable = True
        assert started.stop() == 0
        expect(tab.status).to_have_text(
            re.compile("^Interrupted. The (server restarts|connection)")
        )
        started.start()
        expect(tab.status).to_have_text(RESUMED)
        assert tab.trades() == shown


def test_a_bye_says_why_and_when(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, SSE_MAX_STREAM_DURATION=2) as started:
        tab = open_tab(started.url, wallet)
        expect(tab.status).to_have_text(
            "Interrupted. The server ends each connection after a while."
        )
        expect(tab.find("#status-wait")).to_have_text(re.compile(r"^Reconnecting in [1-3] s$"))
        expect(tab.status).to_have_text(RESUMED)


def test_a_gap_discards_what_was_shown_and_reads_all_of_it_again(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path, trades_of: TradesOf
) -> None:
    with server(tmp_path, chain.url) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        tab.unreachable = True
        started.kill()
        for file in tmp_path.glob("journal.db*"):
            file.unlink()
        started.start()
        notices = tab.find("#notices")
        expect(notices).to_contain_text("reads the whole history again.")
        # Another may be there: positions were asked for just when the server was gone.
        notice = notices.get_by_role("paragraph").filter(has_text="reads the whole history again.")
        notice.get_by_role("button", name="Dismiss").click()
        expect(notice).to_have_count(0)
        expect(tab.status).to_have_text("Live")
        expected = trades_of(started, wallet)
        tab.shows_trades(len(expected))
        assert tab.trades() == expected


def test_a_server_that_falls_silent_is_left_and_found_again(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, SSE_KEEPALIVE_INTERVAL=1) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        shown = tab.trades()
        with started.stopped():
            expect(tab.status).to_have_text("Interrupted. Nothing came from the server any more.")
            expect(tab.status).to_have_text("Connecting…")
        expect(tab.status).to_have_text(RESUMED)
        assert tab.trades() == shown


def test_a_key_is_asked_for_exchanged_and_missed_when_it_is_revoked(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, API_KEY_REQUIRED="true") as started:
        made = started.keys("create", "--name", "page")
        tab = open_tab(started.url, wallet)
        tab.unreachable = True  # a refused key is an error in the console
        expect(tab.find("#key-text")).to_be_focused()
        tab.unlock("wd_" + "x" * 32)
        expect(tab.find("#key-why")).not_to_be_empty()
        tab.unlock(made["key"])
        tab.wait_until_live()
        expect(tab.find("#key")).to_be_hidden()
        expect(tab.find("#positions-count")).not_to_be_empty()
        expect(tab.find("#curl")).to_have_value(re.compile(r"Bearer \$WD_KEY"))
        shown = tab.trades_shown()

        tab.page.reload()
        tab.wait_until_live()
        started.keys("revoke", made["id"])
        expect(tab.find("#key-why")).to_have_text("The key was revoked.")
        tab.shows_trades(shown)
        assert made["key"] not in started.log.read_text()


def test_a_token_that_ends_is_replaced_without_a_word_from_anybody(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    settings = {"API_KEY_REQUIRED": "true", "TOKEN_MAX_SECONDS": 2}
    with server(tmp_path, chain.url, **settings) as started:
        tab = open_tab(started.url, wallet)
        tab.unlock(started.key())
        tab.wait_until_live()
        shown = tab.trades()
        expect(tab.status).to_have_text("Interrupted. The token ended.")
        expect(tab.status).to_have_text(RESUMED)
        assert tab.trades() == shown


def test_for_a_wallet_that_the_key_is_not_for_another_key_is_asked_for(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, API_KEY_REQUIRED="true") as started:
        tab = open_tab(started.url, wallet)
        tab.unreachable = True
        tab.unlock(started.key("--wallets", chain.wallet(0)))
        expect(tab.find("#key-why")).to_have_text(re.compile("key .* wallets"))
        tab.unlock(started.key())
        tab.wait_until_live()


def test_who_has_too_many_streams_is_told_and_gets_the_place_that_is_left(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, RATE_LIMIT_STREAMING_CONNECTIONS=1) as started:
        first = open_tab(started.url, wallet)
        first.wait_until_live()
        second = open_tab(started.url, wallet)  # another browser: nothing is shared
        expect(second.status).to_contain_text("Interrupted.")
        expect(second.find("#status-wait")).to_contain_text("Reconnecting in")
        first.page.close()
        second.wait_until_live()


def test_who_asked_too_often_waits_as_long_as_was_said_or_tries_now(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, RATE_LIMIT_REQUESTS=1) as started:
        tab = open_tab(started.url, wallet)
        tab.unreachable = True  # for the positions there is no request left
        expect(tab.find("#notices")).to_contain_text("The positions couldn't be read")
        tab.page.reload()
        expect(tab.status).to_contain_text("Interrupted.")
        expect(tab.find("#status-wait")).to_have_text(re.compile(r"^Reconnecting in \d\d s$"))
        refused = 'access_refused_total{code="RATE_LIMIT"}'
        before = started.metrics()[refused]
        tab.find("#retry").click()
        started.wait_for(refused, before + 1)
        expect(tab.find("#status-wait")).to_have_text(re.compile(r"^Reconnecting in \d+ s$"))


def test_a_stream_closed_by_its_owner_stays_closed_until_somebody_tries_again(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, API_KEY_REQUIRED="true") as started:
        key = started.key()
        tab = open_tab(started.url, wallet)
        tab.unlock(key)
        tab.wait_until_live()
        authorization = {"Authorization": f"Bearer {key}"}
        (stream,) = started.get("/v4/streams", authorization)["streams"]
        path = f"{started.url}/v4/streams/{stream['stream_id']}"
        with urlopen(Request(path, headers=authorization, method="DELETE"), timeout=PATIENCE):
            pass
        expect(tab.status).to_have_text("Closed. The owner of the key closed this stream.")
        tab.find("#retry").click()
        expect(tab.status).to_have_text(RESUMED)


def test_eight_tabs_share_one_connection_and_the_next_one_goes_on_with_it(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path, trades_of: TradesOf
) -> None:
    with server(tmp_path, chain.url, POLL_SECONDS=1) as started:
        first = open_tab(started.url, wallet)
        first.wait_until_live()
        tabs = [first, *(first.another() for _ in range(TABS - 1))]
        for tab in tabs[1:]:
            tab.goto(wallet)
        count = first.trades_shown()
        for tab in tabs:
            tab.wait_until_live()
            tab.shows_trades(count)
            expect(tab.find("#positions-count")).not_to_be_empty()
        assert started.metrics()["total_streams"] == 1

        count += len(chain.append(wallet, 10))
        for tab in tabs:
            tab.shows_trades(count)
        assert started.metrics()["total_streams"] == 1

        first.page.close()
        tabs = tabs[1:]
        expect(tabs[0].status).to_have_text(RESUMED)
        count += len(chain.append(wallet, 10))
        for tab in tabs:
            tab.shows_trades(count)
        assert started.metrics()["total_streams"] == 2
        expected = trades_of(started, wallet)
        for tab in tabs:
            assert tab.trades() == expected
            tab.assert_no_complaint()


def test_a_new_key_in_one_tab_is_for_all_of_them(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url, API_KEY_REQUIRED="true") as started:
        first = open_tab(started.url, wallet)
        expect(first.find("#key-text")).to_be_visible()
        second = first.another()
        second.goto(wallet)
        second.unlock(started.key())
        for tab in (first, second):
            tab.wait_until_live()
        assert started.metrics()["active_streams"] == 1
        # The key is there for the tab that goes on.
        first.page.close()
        expect(second.status).to_have_text(RESUMED)
        second.assert_no_complaint()


def test_where_the_browser_has_no_locks_each_tab_has_a_connection_of_its_own(
    open_tab: OpenTab, served: Server, wallet: str
) -> None:
    """As for a page that came over plain HTTP from another machine."""
    first = open_tab(served.url)
    first.page.context.add_init_script(
        "for (const name of ['locks', 'clipboard']) "
        "Object.defineProperty(navigator, name, { value: undefined });"
        "delete Crypto.prototype.randomUUID;"
    )
    second = first.another()
    for tab in (first, second):
        tab.goto(wallet)
        tab.wait_until_live()
    served.wait_for("active_streams", 2)
    second.find("#copy-curl").click()
    expect(second.find("#elsewhere-said")).to_contain_text("copy it yourself")
    second.assert_no_complaint()


def test_what_the_operator_has_to_mend_is_said_and_can_be_tried_again(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        chain.call("simFault", {"kind": "bad_key"})
        try:
            tab = open_tab(started.url, wallet)
            expect(tab.status).to_contain_text("Closed.")
            expect(tab.find("#no-trades")).to_contain_text(re.compile(r"\w+\."))
            expect(tab.find("#progress")).to_be_hidden()
        finally:
            chain.call("simReset")
        tab.find("#retry").click()
        tab.wait_until_live()
        assert tab.trades_shown() > 0


def test_a_trade_that_left_the_chain_is_taken_out(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        shown = tab.trades()
        tab.unreachable = True
        started.kill()
        store(tmp_path, wallet, ("retract", {"signature": shown[-1]["signature"]}))
        started.start()
        expect(tab.find("#notices")).to_contain_text("was taken back with its trades: a ")
        tab.shows_trades(len(shown) - 1)
        assert tab.trades() == shown[:-1]


def test_a_corrected_transaction_stands_in_its_place_with_each_of_its_trades(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        shown = tab.trades()
        tab.unreachable = True
        started.kill()
        first = shown[2] | {"parts": 2, "replaces": "7-3", "pnl_sol": 77.5}
        second = first | {"part": 1}
        retract = ("retract", {"signature": first["signature"]})
        store(tmp_path, wallet, retract, ("trade", first), ("trade", second))
        started.start()
        tab.shows_trades(len(shown) + 1)
        assert tab.trades() == [*shown[:2], first, second, *shown[3:]]
        expect(tab.find("#notices")).to_contain_text("have other numbers now.")
        expect(tab.find("#notices")).not_to_contain_text("taken back")
        follower = tab.another()
        follower.goto(wallet)
        follower.shows_trades(len(shown) + 1)
        assert follower.trades() == tab.trades()


def test_a_burn_shows_its_loss_and_what_has_no_known_cost_shows_no_profit(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        count = tab.trades_shown()
        sell = next(trade for trade in tab.trades() if trade["action"] == "sell")
        tab.unreachable = True
        started.kill()
        airdrop = sell | {"signature": "airdrop", "pnl_sol": None, "value_sol": 3}
        airdrop["unmatched_amount"] = sell["token_in"]["amount"]
        burn = sell | {"signature": "burned", "action": "burn", "pnl_sol": -2, "value_sol": 0}
        burn["token_out"] = sell["token_out"] | {"amount": 0, "amount_raw": "0"}
        store(tmp_path, wallet, ("trade", airdrop), ("trade", burn))
        started.start()
        tab.shows_trades(count + 2)
        newest, before = tab.rows().nth(0), tab.rows().nth(1)
        expect(newest.locator(".got")).to_have_text("burned")
        expect(newest.locator(".pnl")).to_have_text("▼ −2.0000")
        expect(before.locator(".pnl")).to_have_text("no known cost")
        said = "3.0000 SOL without known cost, in no P&L"
        expect(before.locator(".pnl")).to_have_attribute("title", said)
        tab.find("#side").select_option("burn")
        expect(tab.find("#trades-count")).to_have_text(f"1 of {count + 2}")


def test_each_kind_of_fee_and_what_is_seldom_has_a_line_where_the_server_sends_it(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        summary = started.get(f"/v4/wallet/{wallet}")["summary"]
        tab.unreachable = True
        started.kill()
        for field in ("platform_fees_sol", "round_trip_pnl_sol"):
            summary.pop(field, None)
        counts = {"trades": 9, "buys": 4, "sells": 3, "swaps": 1}
        fees = {"network_fees_sol": 0.25, "tips_sol": 0.5, "failed_fees_sol": 0}
        added = {"unexplained_sol": 1.5, "rent_locked_sol": 0, "known_cost_share": 0.75}
        metrics = {"signatures_found": 9, "transactions": 9}
        metrics |= {"failed_transactions": 0, "unpriced_trades": 0}
        complete = {"status": "complete", "trades_found": 9, "duration": 1, "timestamp": 1}
        complete |= {"truncated": False, "metrics": metrics}
        store(
            tmp_path, wallet, ("complete", complete | {"summary": summary | counts | fees | added})
        )
        started.start()
        totals = tab.find("#totals > div")
        for line in ("Network fees, SOL0.2500", "Tips, SOL0.5000", "Failed, SOL0.0000"):
            expect(totals.filter(has_text=line)).to_have_count(1)
        expect(totals.filter(has_text="Unexplained, SOL1.5000")).to_have_count(1)
        for line in ("Platform fees", "Rent locked", "Round trips"):
            expect(totals.filter(has_text=line)).to_have_count(0)
        cost = totals.filter(has_text="Without known cost")
        expect(cost).to_have_attribute(
            "title", re.compile("75 % of what was got has a known cost$")
        )
        trades = totals.filter(has_text=re.compile("^Trades9$"))
        said = "4 buys, 3 sells, 1 swaps, 1 burns"
        expect(trades).to_have_attribute("title", said)


def test_a_tokens_name_is_never_more_than_a_name(
    open_tab: OpenTab, chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with server(tmp_path, chain.url) as started:
        tab = open_tab(started.url, wallet)
        tab.wait_until_live()
        trade = tab.trades()[-1]
        tab.unreachable = True
        started.kill()
        trade["signature"] = trade["signature"][::-1]
        trade["token_in"] |= {"symbol": HOSTILE_MARKUP, "mint": wallet}
        trade["token_out"] |= {"symbol": HOSTILE_FORMULA, "mint": chain.wallet(0)}
        store(tmp_path, wallet, ("trade", trade))
        started.start()
        tab.wait_until_live()
        first = tab.rows().first
        expect(first.locator(".gave")).to_contain_text(HOSTILE_MARKUP[:16])
        expect(first.locator(".got")).to_contain_text(HOSTILE_FORMULA[:16])
        assert tab.find("main img").count() == 0
        for choice in ("#token", "#order"):
            tab.find(choice).focus()
        expect(tab.find("#token")).to_contain_text(HOSTILE_MARKUP[:16])
        last = tab.downloaded("csv").splitlines()[-1]
        assert f",'{HOSTILE_FORMULA}," in last


def _hang_in_the_middle(chain: Simulator, wallet: str) -> None:
    """A run gets half of the wallet, and then no answer."""
    listed = chain.call("getSignaturesForAddress", wallet)
    hanging = listed[len(listed) // 2]["signature"]
    chain.call("simFault", {"kind": "hang", "signature": hanging})


def _signatures(trades: list[dict[str, Any]]) -> list[str]:
    return [trade["signature"] for trade in trades]
