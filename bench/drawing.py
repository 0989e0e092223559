"""Boxes in columns with arrows from left to right, as SVG: the same text for the same boxes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise

Arrow = tuple[str, str]
Spot = tuple[int, int]

# Pixels.
WIDTH, HEIGHT = 136, 32
ACROSS, DOWN = 196, 48
EDGE = 16

_STYLE = """<style>
rect.page { fill: #fff }
rect.box { fill: #eef3f7; stroke: #7a8a99 }
text { font: 13px system-ui, sans-serif; fill: #222; text-anchor: middle }
path { fill: none; stroke-width: 1.5; marker-end: url(#head) }
.arrow { stroke: #0072b2 }
.back { stroke: #d55e00; stroke-dasharray: 4 4 }
#head path { fill: #444; marker-end: none }
</style>
<defs>
<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
orient="auto"><path d="M0 0 8 4 0 8z"/></marker>
</defs>"""


def drawn(names: Sequence[str], arrows: Collection[Arrow]) -> str:
    """Each box stands to the right of all that have an arrow to it. An arrow that others lead
    around is left out; one that closes a circle is dashed."""
    back = backward(names, arrows)
    forward = reduced(set(arrows) - back)
    columns = columns_of(names, forward)
    ways = {arrow: _way(arrow, columns) for arrow in sorted(forward)}
    spots = _spots(columns, ways.values())
    width = (len(columns) - 1) * ACROSS + WIDTH + 2 * EDGE
    height = max(y for _, y in spots.values()) + HEIGHT + EDGE
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            ' aria-labelledby="t">',
            '<title id="t">Packages, and where their data goes</title>',
            _STYLE,
            f'<rect class="page" width="{width}" height="{height}"/>',
            *(_line("arrow", [spots[each] for each in way]) for way in ways.values()),
            *(_line("back", [spots[start], spots[end]]) for start, end in sorted(back)),
            *(_box(name, *spots[name]) for name in sorted(names)),
            "</svg>\n",
        )
    )


def _way(arrow: Arrow, columns: list[list[str]]) -> list[str]:
    """Its boxes and, in each column between theirs, a gap that is kept free for it."""
    start, end = arrow
    first, last = (next(i for i, each in enumerate(columns) if name in each) for name in arrow)
    way = [start]
    for at in range(first + 1, last):
        way.append(f"{start} to {end} at {at}")
        columns[at].append(way[-1])
    return [*way, end]


def backward(names: Sequence[str], arrows: Collection[Arrow]) -> set[Arrow]:
    """Arrows that close a circle, so that without them there is none."""
    after = _after(arrows)
    found: set[Arrow] = set()
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        for each in sorted(after.get(name, ())):
            if each in (*way, name):
                found.add((name, each))
            elif each not in done:
                follow(each, (*way, name))
        done.add(name)

    for name in sorted(names):
        if name not in done:
            follow(name, ())
    return found


def reduced(arrows: Collection[Arrow]) -> set[Arrow]:
    """Without those whose end is also reached by way of another box. There is no circle."""
    after = _after(arrows)
    beyond = {name: set(_reached(name, after)) for name in after}
    return {
        (start, end)
        for start, end in arrows
        if not any(end in beyond.get(via, ()) for via in after[start])
    }


def columns_of(names: Sequence[str], arrows: Collection[Arrow]) -> list[list[str]]:
    """By the longest way to each. A box that no arrow leads to stands just before the first that
    it leads to."""
    before, after = _after([(end, start) for start, end in arrows]), _after(arrows)
    depth: dict[str, int] = {}

    def deep(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((deep(each) for each in before.get(name, ())), default=-1)
        return depth[name]

    columns: list[list[str]] = [[] for _ in range(1 + max(map(deep, names)))]
    for name in sorted(names):
        first = min((depth[each] for each in after.get(name, ())), default=1)
        columns[depth[name] if name in before else first - 1].append(name)
    return columns


def _after(arrows: Collection[Arrow]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for start, end in arrows:
        found.setdefault(start, set()).add(end)
    return found


def _reached(name: str, after: Mapping[str, set[str]]) -> Iterator[str]:
    """All that arrows lead to, near and far."""
    seen: set[str] = set()
    waiting = sorted(after.get(name, ()))
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            yield each
            waiting += sorted(after.get(each, ()))


def _spots(columns: Sequence[Sequence[str]], ways: Collection[Sequence[str]]) -> dict[str, Spot]:
    """The upper left corners. Boxes of a column are in the order of those that lead to them."""
    before = _after([(end, start) for way in ways for start, end in pairwise(way)])
    tallest = max(map(len, columns))
    spots: dict[str, Spot] = {}

    def height(name: str) -> tuple[float, str]:
        heights = [spots[each][1] for each in before.get(name, ())]
        return (sum(heights) / len(heights) if heights else 0.0), name

    for at, column in enumerate(columns):
        top = EDGE + (tallest - len(column)) * DOWN // 2
        for row, name in enumerate(sorted(column, key=height)):
            spots[name] = (EDGE + at * ACROSS, top + row * DOWN)
    return spots


def _box(name: str, x: int, y: int) -> str:
    middle = f'x="{x + WIDTH // 2}" y="{y + HEIGHT // 2 + 5}"'
    return (
        f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        f"<text {middle}>{escape(name)}</text>"
    )


def _line(kind: str, spots: Sequence[Spot]) -> str:
    """From the right side of the first to the left side of the last, straight through others."""
    bend = (ACROSS - WIDTH) * 3 // 4
    path = ""
    for (x, y), (to_x, to_y) in pairwise(spots):
        x, y, to_y = x + WIDTH, y + HEIGHT // 2, to_y + HEIGHT // 2
        path += f"L{x} {y}" if path else f"M{x} {y}"
        path += f"C{x + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
    return f'<path class="{kind}" d="{path}"/>'
