"""`python tests/browser/screenshots.py` takes the pictures in docs/ anew."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests/browser")]

from chromium import chromium  # noqa: E402
from playwright.sync_api import expect  # noqa: E402
from processes import server, simulator  # noqa: E402
from tab import Tab  # noqa: E402

SIZE = 2000


class Picture(NamedTuple):
    name: str
    width: int
    height: int
    scheme: str


PICTURES = (
    Picture("page-light", 1240, 860, "light"),
    Picture("page-dark", 1240, 860, "dark"),
    Picture("page-narrow", 390, 1340, "light"),
)


def main() -> None:
    with (
        TemporaryDirectory() as folder,
        simulator("--only", "--warm", f"--wallets={SIZE}") as chain,
        server(Path(folder), chain.url, PRICE_SOURCE="defillama", PRICE_URL=chain.url) as started,
        chromium() as browser,
    ):
        for picture in PICTURES:
            options: dict[str, Any] = {
                "viewport": {"width": picture.width, "height": picture.height},
                "color_scheme": picture.scheme,
            }
            tab = Tab(browser.new_context(**options).new_page(), started.url)
            tab.goto(chain.wallet(SIZE))
            tab.wait_until_live()
            expect(tab.find("#positions-count")).not_to_be_empty()
            # The charts have been drawn with all trades.
            expect(tab.find("#summary-span")).not_to_contain_text("so far")
            tab.page.screenshot(path=ROOT / "docs" / f"{picture.name}.png")


if __name__ == "__main__":
    main()
