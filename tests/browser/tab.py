"""One tab of the browser with the page in it, as somebody sees it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Locator, Page, expect
from processes import Server

# Transactions of two wallets: one with more than 5,000 trades, and a usual one.
LARGE, USUAL = 7200, 400
# Milliseconds until what should be there at once is missed: only a broken page takes them.
PATIENCE_MS = 30_000

expect.set_options(timeout=PATIENCE_MS)


class Tab:
    """`unreachable`: the server is gone for a while or refuses something, of which the browser
    itself tells in the console."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.unreachable = False
        self._complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complaints.append(str(error)))

    def another(self) -> "Tab":
        """A tab of the same browser."""
        return Tab(self.page.context.new_page(), self.url)

    def goto(self, wallet: str | None) -> None:
        self.page.goto(f"{self.url}/?wallet={wallet}" if wallet else f"{self.url}/")

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def enter(self, address: str) -> None:
        """Type or paste it, and go."""
        self.find("#address").fill(address)
        self.page.keyboard.press("Enter")

    def unlock(self, key: str) -> None:
        """Type in a key when the page asks for one."""
        self.find("#key-text").fill(key)
        self.page.keyboard.press("Enter")

    @property
    def status(self) -> Locator:
        return self.find("#status-text")

    def wait_until_live(self) -> None:
        expect(self.status).to_have_text(re.compile("^Live"))

    def shows_trades(self, count: int) -> None:
        expect(self.find("#trades-count")).to_have_text(f"{count:,}")

    def trades_shown(self) -> int:
        """0 before the first."""
        return int((self.find("#trades-count").text_content() or "0").replace(",", ""))

    def rows(self) -> Locator:
        return self.find("#list .body .row:visible")

    def signatures(self) -> list[str]:
        """Of the rows that exist, from the top."""
        titles = self.rows().locator("a").evaluate_all("links => links.map(each => each.title)")
        return [str(title) for title in titles]

    def downloaded(self, kind: str) -> str:
        """What comes of the button for `csv` or `json`."""
        with self.page.expect_download() as download:
            self.find(f"#{kind}").click()
        return Path(download.value.path()).read_bytes().decode()

    def trades(self) -> list[dict[str, Any]]:
        """All trades that the page has, whether their rows exist or not."""
        found: list[dict[str, Any]] = json.loads(self.downloaded("json"))["trades"]
        return found

    def assert_no_complaint(self) -> None:
        assert not self._complaints

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning"):
            return
        if self.unreachable and message.text.startswith("Failed to load resource"):
            return
        self._complaints.append(message.text)


# Opens a wallet of a server, or the start page, with the options of a browser's context.
OpenTab = Callable[..., Tab]
# A wallet's trades as the server has them as JSON.
TradesOf = Callable[[Server, str], list[dict[str, Any]]]
