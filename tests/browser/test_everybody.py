"""The page for everybody: by keyboard, by screen reader, on a small screen, in any colour vision,
on a slow link."""

import base64
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from processes import Server, Simulator
from tab import USUAL, OpenTab, Tab

PHONE = {"width": 360, "height": 740}
# What Chromium can show as others see it.
VISIONS = ("none", "deuteranopia", "protanopia", "tritanopia", "achromatopsia")
# The least difference of profit's and loss's colours, of 441 between black and white. Without any
# colour it is their brightness; sign and triangle tell them apart there.
DIFFERENCE, DIFFERENCE_GREY = 90, 10
# As the developer tools of browsers have "3G".
SLOW_LINK = {"latency": 300, "downloadThroughput": 90_000, "uploadThroughput": 40_000}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", ["start", "wallet", "phone", "key"])
def test_axe_finds_no_problem(
    open_tab: OpenTab, served: Server, keyed: Server, chain: Simulator, scheme: str, place: str
) -> None:
    viewport = PHONE if place == "phone" else {"width": 1300, "height": 900}
    url = keyed.url if place == "key" else served.url
    wallet = None if place == "start" else chain.wallet(USUAL)
    tab = open_tab(url, wallet, color_scheme=scheme, viewport=viewport)
    if place == "key":
        expect(tab.find("#key-text")).to_be_focused()
    elif wallet:
        tab.wait_until_live()
        expect(tab.find("#positions-count")).not_to_be_empty()
    found = Axe().run(tab.page).response
    assert found["passes"]
    assert not [
        (each["id"], each["impact"], [node["html"] for node in each["nodes"]])
        for each in found["violations"]
    ]


def test_all_of_it_can_be_reached_and_used_by_keyboard(
    open_tab: OpenTab, served: Server, chain: Simulator
) -> None:
    tab = open_tab(served.url, chain.wallet(USUAL))
    tab.wait_until_live()
    expect(tab.find("#positions-count")).not_to_be_empty()
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    press = tab.page.keyboard.press
    press("Tab")
    expect(tab.find(".skip")).to_be_focused()
    press("Enter")
    expect(tab.find("#trades-title")).to_be_focused()
    for expected in ("#token", "#side", "#order", "#list .body"):
        press("Tab")
        expect(tab.find(expected)).to_be_focused()
    press("End")
    expect(tab.rows().last).to_be_in_viewport()
    press("Home")
    expect(tab.rows().first).to_have_attribute("aria-rowindex", "2")
    press("Tab")
    assert tab.page.evaluate("document.activeElement.closest('.row') !== null")
    # The link to the trades is none to another wallet.
    assert not [url for url in asked if "/stream" in url]


def test_a_small_screen_shows_everything_without_scrolling_sideways(
    open_tab: OpenTab, served: Server, chain: Simulator
) -> None:
    tab = open_tab(served.url, chain.wallet(USUAL), viewport=PHONE)
    tab.wait_until_live()
    expect(tab.find("#positions-count")).not_to_be_empty()
    assert tab.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    first = tab.rows().first
    for cell in (".time", ".side", ".gave", ".got", ".pnl", ".link"):
        box = first.locator(cell).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= PHONE["width"]


def test_what_changes_is_told_to_a_screen_reader(
    open_tab: OpenTab, served: Server, chain: Simulator
) -> None:
    tab = open_tab(served.url, chain.wallet(USUAL))
    tab.wait_until_live()
    page = tab.page
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text(chain.wallet(USUAL))
    table = page.get_by_role("table", name="Trades")
    expect(table.get_by_role("columnheader")).to_have_count(8)
    row = table.get_by_role("row").nth(1)
    expect(row.get_by_role("cell")).to_have_count(8)
    expect(row.get_by_role("link")).to_have_accessible_name(
        "Transaction "
        + tab.signatures()[0][:4]
        + "…"
        + tab.signatures()[0][-4:]
        + " in an explorer"
    )
    expect(page.get_by_role("img", name="Cumulative realized P&L")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_profit_and_loss_differ_in_every_colour_vision_and_in_shape(
    open_tab: OpenTab, served: Server, chain: Simulator, scheme: str
) -> None:
    tab = open_tab(served.url, chain.wallet(USUAL), color_scheme=scheme)
    tab.wait_until_live()
    up, down = (tab.find(f"#list .pnl.{way}").first for way in ("up", "down"))
    expect(up).to_contain_text("▲ +")
    expect(down).to_contain_text("▼ \N{MINUS SIGN}")
    session = tab.page.context.new_cdp_session(tab.page)
    reader = tab.page.context.new_page()
    for vision in VISIONS:
        session.send("Emulation.setEmulatedVisionDeficiency", {"type": vision})
        tab.page.bring_to_front()
        seen = [_text_colour(reader, way.screenshot()) for way in (up, down)]
        far = sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5
        least = DIFFERENCE_GREY if vision == "achromatopsia" else DIFFERENCE
        assert far > least, (vision, seen)


def test_a_slow_link_gets_it_all(open_tab: OpenTab, served: Server, chain: Simulator) -> None:
    tab: Tab = open_tab(served.url)
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", {"offline": False, **SLOW_LINK})
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    tab.goto(chain.wallet(USUAL))
    tab.wait_until_live()
    report = served.get(f"/v4/wallet/{chain.wallet(USUAL)}")
    tab.shows_trades(report["summary"]["trades"])


def _text_colour(page: Page, picture: bytes) -> list[int]:
    """Of the pixel that stands out most from the picture's corner."""
    found: list[int] = page.evaluate(_STANDS_OUT, base64.b64encode(picture).decode())
    return found


_STANDS_OUT: Any = """async (picture) => {
  const image = new Image();
  image.src = "data:image/png;base64," + picture;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  const ground = [...data.slice(0, 3)];
  let found = ground, most = -1;
  for (let at = 0; at < data.length; at += 4) {
    const pixel = [...data.slice(at, at + 3)];
    const far = pixel.reduce((sum, value, i) => sum + (value - ground[i]) ** 2, 0);
    if (far > most) [found, most] = [pixel, far];
  }
  return found;
}"""
