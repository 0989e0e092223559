"""How the page's figures are judged."""

from bench.webpage import Seen, rows

SEEN = Seen(
    bytes=60_000,
    loads=[90.0, 120.0, 900.0],
    empty=[20.0, 30.0, 40.0],
    busy=50.0,
    trades=5000,
    arrivals=[300.0, 400.0, 500.0],
    rows=20_000,
    frame=9.0,
)


def test_a_light_quick_and_smooth_page_reaches_its_targets() -> None:
    assert [row.met for row in rows(SEEN)] == [True] * 4


def test_each_target_can_be_missed() -> None:
    heavy = Seen(101_000, [201.0], [20.0], 50.0, 5000, [1001.0], 20_000, 17.0)
    assert [row.met for row in rows(heavy)] == [False] * 4


def test_the_median_counts_and_is_said_with_the_best() -> None:
    figure = rows(SEEN)[1].figure
    assert "120 ms" in figure
    assert "90 ms" in figure
    assert rows(SEEN)[2].figure == "400 ms"
