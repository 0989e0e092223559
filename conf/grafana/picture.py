"""Draws the dashboard without Grafana: its own queries, asked of a Prometheus, on one PNG.

picture.py http://127.0.0.1:9090 SECONDS PICTURE.png
"""

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode
from urllib.request import urlopen

POINTS = 120  # a line has, as Grafana would ask for at this width
CELL, GAP, MARGIN = 58, 8, 16  # pixels of a column of Grafana's grid, and around it
LINE = 30  # pixels of a row of that grid
TITLE, LEGEND, AXIS = 28, 34, 52  # pixels of a panel besides its lines
LEGEND_MAX = 8  # names below a panel; more can't be read
CHROMIUM_SECONDS = 60
COLOURS = ("#3a76c4", "#d9822b", "#3f9b53", "#c4473f", "#8158b7", "#8a6a3b", "#c963a8", "#708090")
_STEPS = {
    "s": ((60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
    "Bps": ((1e6, "MB/s"), (1e3, "kB/s"), (1, "B/s")),
    "ops": ((1e3, "k/s"), (1, "/s")),
    "short": ((1e6, "M"), (1e3, "k"), (1, "")),
    "percent": ((1, "%"),),
    "percentunit": ((0.01, "%"),),
}


class Line(NamedTuple):
    """`points` are unix seconds and values."""

    name: str
    points: list[tuple[float, float]]


class Range(NamedTuple):
    prometheus: str
    start: float
    end: float

    def lines(self, target: Mapping[str, str]) -> Iterator[Line]:
        """What a panel's query finds."""
        step = (self.end - self.start) / POINTS
        # As Grafana does it: four scrapes at least, here of a second each or of the step's length.
        expr = target["expr"].replace("$__rate_interval", f"{math.ceil(max(4 * step, 15))}s")
        expr = expr.replace("$instance", ".*")
        asked = {"query": expr, "start": self.start, "end": self.end, "step": step}
        with urlopen(f"{self.prometheus}/api/v1/query_range?{urlencode(asked)}") as said:
            found = json.load(said)["data"]["result"]
        for series in found:
            name = target["legendFormat"]
            for label, value in series["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            yield Line(name, [(at, float(value)) for at, value in series["values"]])


def shown(value: float, unit: str) -> str:
    """With the largest step of the unit that leaves at least 1."""
    size, suffix = _step(value, unit)
    return f"{value / size:.3g}{' ' if suffix[:1].isalpha() else ''}{suffix}" if value else "0"


def graph(lines: Sequence[Line], unit: str, width: int, height: int, span: Range) -> str:
    """The axes, the lines and the names below them, as SVG."""
    values = [value for line in lines for _, value in line.points if math.isfinite(value)]
    top = _round_up(max(values, default=0), unit)
    right, bottom = width - 10, height - LEGEND - 18

    def x(at: float) -> float:
        return AXIS + (at - span.start) / (span.end - span.start) * (right - AXIS)

    def y(value: float) -> float:
        return bottom - value / top * (bottom - TITLE)

    parts = []
    for share in (0, 0.5, 1):
        level = y(top * share)
        parts.append(f'<path class="grid" d="M{AXIS} {level}H{right}"/>')
        parts.append(
            f'<text x="{AXIS - 6}" y="{level + 4}" class="y">{shown(top * share, unit)}</text>'
        )
        at = span.start + share * (span.end - span.start)
        clock = time.strftime("%H:%M:%S", time.gmtime(at))
        anchor = ("start", "middle", "end")[round(share * 2)]
        parts.append(f'<text x="{x(at)}" y="{bottom + 14}" text-anchor="{anchor}">{clock}</text>')
    for line, colour in zip(lines, COLOURS * len(lines), strict=False):
        path = " ".join(
            f"{x(at):.1f},{y(value):.1f}" for at, value in line.points if math.isfinite(value)
        )
        parts.append(f'<polyline points="{path}" stroke="{colour}"/>')
    return f'<svg width="{width}" height="{height - LEGEND}">{"".join(parts)}</svg>'


def panel(content: Mapping[str, Any], span: Range) -> str:
    place, unit = content["gridPos"], content["fieldConfig"]["defaults"]["unit"]
    width, height = place["w"] * CELL - GAP, place["h"] * LINE - GAP
    lines = [line for target in content["targets"] for line in span.lines(target)]
    names = "".join(
        f'<b style="background:{colour}"></b>{escape(line.name)} '
        f"<i>{shown(line.points[-1][1], unit)}</i> "
        for line, colour in zip(lines[:LEGEND_MAX], COLOURS, strict=False)
        if math.isfinite(line.points[-1][1])
    )
    return (
        f'<div class="panel" style="{_place(content)};width:{width}px;height:{height}px">'
        f"<h2>{escape(content['title'])}</h2>{graph(lines, unit, width, height, span)}"
        f"<p>{names}</p></div>"
    )


def page(dashboard: Mapping[str, Any], span: Range) -> str:
    body = "".join(
        f'<h1 style="{_place(each)}">{escape(each["title"])}</h1>'
        if each["type"] == "row"
        else panel(each, span)
        for each in dashboard["panels"]
    )
    return f"<!doctype html><meta charset=utf-8><style>{_STYLE}</style>{body}"


_STYLE = """
body { margin: 0; background: #f4f5f6; font: 11px "DejaVu Sans", sans-serif; color: #333; }
h1, .panel { position: absolute; margin: 0; }
h1 { font-size: 14px; line-height: 30px; }
h2 { position: absolute; left: 10px; top: 6px; margin: 0; font-size: 12px; }
.panel { background: #fff; border: 1px solid #dcdfe2; box-sizing: border-box; overflow: hidden; }
p { margin: 0 8px; height: 30px; overflow: hidden; line-height: 15px; }
b { display: inline-block; width: 10px; height: 3px; margin: 0 4px 3px 0; }
i { color: #888; font-style: normal; margin-right: 8px; }
svg { font-size: 10px; fill: #777; }
.y { text-anchor: end; }
.grid { stroke: #e6e8ea; }
polyline { fill: none; stroke-width: 1.5; }
"""


def _place(content: Mapping[str, Any]) -> str:
    place = content["gridPos"]
    return f"left:{MARGIN + place['x'] * CELL}px;top:{MARGIN + place['y'] * LINE}px"


def _step(value: float, unit: str) -> tuple[float, str]:
    steps = _STEPS[unit]
    return next((step for step in steps if value >= step[0]), steps[-1])


def _round_up(value: float, unit: str) -> float:
    """The next of 1, 2, 5, 10, 20 … of the unit's step, so that the axis has round numbers."""
    if value <= 0:
        return 1
    size, _ = _step(value, unit)
    size *= 10.0 ** math.floor(math.log10(value / size))
    return next(step * size for step in (1, 2, 5, 10) if value <= step * size)


def main(prometheus: str, seconds: str, picture: str) -> None:
    dashboard = json.loads((Path(__file__).parent / "wd-server.json").read_text())
    now = time.time()
    text = page(dashboard, Range(prometheus, now - float(seconds), now))
    bottom = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in dashboard["panels"])
    size = f"{24 * CELL + 2 * MARGIN - GAP},{bottom * LINE + 2 * MARGIN - GAP}"
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "page.html"
        written.write_text(text)
        shot = Path(folder) / "shot.png"
        command = [shutil.which("chromium") or "chromium", "--headless", "--no-sandbox"]
        command += ["--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile"]
        command += [f"--window-size={size}", f"--screenshot={shot}", written.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=CHROMIUM_SECONDS)
        shutil.copy(shot, picture)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
