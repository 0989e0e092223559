"""The page in a real browser: what it weighs, how soon it and thousands of trades are there, and
what it costs to scroll through them.

Times by the clock depend on what else the machine does, so an empty answer of the same server is
loaded beside the page, and scrolling is counted in CPU time.
"""

from statistics import median
from typing import Any, NamedTuple

from playwright.sync_api import Browser, CDPSession, Page, expect

from bench import deployment
from bench.row import Row, at_most
from tests.chromium import chromium

LOADS, ARRIVALS = 7, 3
# Transactions of two wallets: 5,000 trades, and 20,000.
MANY, MOST = 6_800, 28_000
# Beyond what a server reads by default.
MAX_WALLET_SIZE = 30_000
VIEWPORT = {"width": 1400, "height": 900}
PATIENCE_MS = 120_000
# Until what came last is drawn too.
SETTLE_MS = 1000
# Rows scrolled by in each frame, for so many frames.
ROWS_A_FRAME, FRAMES = 40, 240

# A frame has 16.7 ms at 60 a second.
WEIGHT_KB, LOAD_MS, RENDER_MS, FRAME_MS = 100, 200, 1000, 16.7

# When the first trades came to the page, and when it last changed their number.
_WATCH_ARRIVAL = """
const listen = EventSource.prototype.addEventListener;
EventSource.prototype.addEventListener = function (name, heard) {
  const noted = (event) => { window.arrived ??= performance.now(); heard(event); };
  return listen.call(this, name, name === "trades" ? noted : heard);
};
addEventListener("DOMContentLoaded", () => {
  const count = document.getElementById("trades-count");
  if (count === null) return;
  const painted = () => requestAnimationFrame(() => { window.shown = performance.now(); });
  new MutationObserver(() => requestAnimationFrame(painted)).observe(count, { childList: true });
});
"""
_LOADED = """() => {
  const all = [...performance.getEntriesByType("navigation"),
    ...performance.getEntriesByType("resource")];
  return { ms: all[0].loadEventEnd, bytes: all.reduce((sum, each) => sum + each.transferSize, 0) };
}"""
_SCROLL = """async ([rows, frames]) => {
  const body = document.querySelector("#list .body");
  const step = rows * body.querySelector(".row").offsetHeight;
  for (let frame = 0; frame < frames; frame++) {
    body.scrollTop += step;
    await new Promise(requestAnimationFrame);
  }
}"""


class Seen(NamedTuple):
    """Times in milliseconds. `loads` and `empty`: loading the page, and an answer without content,
    each time; `busy`: the main thread's CPU for the page; `arrivals`: until so many `trades` were
    shown; `frame`: the main thread's CPU for a frame while so many `rows` are scrolled."""

    bytes: int
    loads: list[float]
    empty: list[float]
    busy: float
    trades: int
    arrivals: list[float]
    rows: int
    frame: float


def measure() -> list[Row]:
    sizes = (f"--wallets={MANY}", f"--wallets={MOST}")
    plan = {"MAX_WALLET_SIZE": MAX_WALLET_SIZE, "UPSTREAM_PLAN": "professional"}
    with (
        deployment.chain("--only", *sizes) as chain,
        deployment.deployed(chain, PRICE_SOURCE="none", **plan) as server,
        chromium() as browser,
    ):
        loads = [_load(browser, f"{server.url}/") for _ in range(LOADS)]
        empty = [_load(browser, f"{server.url}/health/live") for _ in range(LOADS)]
        many, most = (f"{server.url}/?wallet={chain.wallet(size)}" for size in (MANY, MOST))
        _shown(browser, many).context.close()  # now it is analysed
        arrivals = [_arrival(browser, many) for _ in range(ARRIVALS)]
        page = _shown(browser, most)
        return rows(
            Seen(
                bytes=loads[0]["bytes"],
                loads=[each["ms"] for each in loads],
                empty=[each["ms"] for each in empty],
                busy=median(each["busy"] for each in loads),
                trades=arrivals[0][0],
                arrivals=[ms for _, ms in arrivals],
                rows=_count(page),
                frame=_frame(page),
            )
        )


def rows(seen: Seen) -> list[Row]:
    weight, load, render = seen.bytes / 1000, median(seen.loads), median(seen.arrivals)
    return [
        at_most("the page with all it loads", weight, WEIGHT_KB, f"{weight:.0f} KB", " KB"),
        at_most(
            "the page loaded from loopback, nothing cached",
            load,
            LOAD_MS,
            f"{load:.0f} ms (best of {len(seen.loads)}: {min(seen.loads):.0f} ms, of it CPU "
            f"{seen.busy:.0f} ms; an empty answer: {median(seen.empty):.0f} ms)",
            " ms",
        ),
        at_most(
            f"{seen.trades:,} trades, from the first that arrives to all of them shown",
            render,
            RENDER_MS,
            f"{render:.0f} ms",
            " ms",
        ),
        at_most(
            f"a frame while {seen.rows:,} rows are scrolled, {ROWS_A_FRAME} at a time, CPU",
            seen.frame,
            FRAME_MS,
            f"{seen.frame:.1f} ms",
            " ms",
        ),
    ]


def _load(browser: Browser, url: str) -> dict[str, Any]:
    page = _empty(browser)
    session = page.context.new_cdp_session(page)
    before = _busy(session)
    page.goto(url)
    found: dict[str, Any] = page.evaluate(_LOADED)
    found["busy"] = _busy(session) - before
    page.context.close()
    return found


def _arrival(browser: Browser, url: str) -> tuple[int, float]:
    page = _shown(browser, url)
    page.wait_for_timeout(SETTLE_MS)
    took: float = page.evaluate("shown - arrived")
    count = _count(page)
    page.context.close()
    return count, took


def _frame(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    page.wait_for_timeout(SETTLE_MS)
    before = _busy(session)
    page.evaluate(_SCROLL, [ROWS_A_FRAME, FRAMES])
    return (_busy(session) - before) / FRAMES


def _busy(session: CDPSession) -> float:
    """Milliseconds of CPU that the page's main thread has used."""
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))


def _shown(browser: Browser, url: str) -> Page:
    """A page with the wallet's whole history."""
    page = _empty(browser)
    page.goto(url)
    expect(page.locator("#status-text")).to_have_text("Live", timeout=PATIENCE_MS)
    return page


def _empty(browser: Browser) -> Page:
    """In a browser that knows nothing yet."""
    viewport: Any = VIEWPORT
    page = browser.new_context(viewport=viewport).new_page()
    page.add_init_script(_WATCH_ARRIVAL)
    return page


def _count(page: Page) -> int:
    return int((page.locator("#trades-count").text_content() or "0").replace(",", ""))
