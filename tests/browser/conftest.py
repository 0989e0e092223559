"""A real Chromium, a simulated chain, and a server whose page is looked at."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from chromium import chromium
from playwright.sync_api import Browser
from processes import Server, Simulator, server, simulator
from tab import LARGE, USUAL, OpenTab, Tab, TradesOf

# Small wallets, one for each test that wants one of its own.
SMALL, SMALL_WALLETS = 60, 24


# Not for the session: other modules want this thread for loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    sizes = (0, LARGE, USUAL, f"{SMALL}x{SMALL_WALLETS}")
    with simulator("--only", "--warm", *(f"--wallets={size}" for size in sizes)) as started:
        yield started


@pytest.fixture(scope="module")
def _small_wallets(chain: Simulator) -> Iterator[str]:
    return (address for address, size in chain.wallets if size == SMALL)


@pytest.fixture
def wallet(_small_wallets: Iterator[str]) -> str:
    """A small wallet that no other test has asked for."""
    return next(_small_wallets)


@pytest.fixture(scope="module")
def served(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    prices = {"PRICE_SOURCE": "defillama", "PRICE_URL": chain.url, "POLL_SECONDS": 1}
    with server(tmp_path_factory.mktemp("served"), chain.url, **prices) as started:
        yield started


@pytest.fixture(scope="module")
def keyed(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a key."""
    folder = tmp_path_factory.mktemp("keyed")
    with server(folder, chain.url, API_KEY_REQUIRED="true") as started:
        yield started


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Opens the page in a browser that knows nothing yet. Whatever the test did, the browser had
    nothing to complain of."""
    tabs: list[Tab] = []
    with ExitStack() as stack:

        def open_(url: str, wallet: str | None = None, **context: object) -> Tab:
            made = browser.new_context(**context)  # type: ignore[arg-type]
            stack.callback(made.close)
            tab = Tab(made.new_page(), url)
            tabs.append(tab)
            tab.goto(wallet)
            return tab

        yield open_
        for tab in tabs:
            tab.assert_no_complaint()


@pytest.fixture
def trades_of() -> TradesOf:
    """A wallet's trades as the server has them as JSON."""

    def read(started: Server, wallet: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = started.get(f"/v4/wallet/{wallet}/trades?limit=1000{after}")
            found += page["trades"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    return read
