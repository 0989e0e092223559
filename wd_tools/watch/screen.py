"""A board as a terminal shows it: a state, a bar, the newest trades, the totals."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from math import inf
from typing import Literal

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from wd_client.events import Trade

from wd_tools.watch import figures
from wd_tools.watch.agreement import agreement
from wd_tools.watch.board import Board, reason
from wd_tools.watch.totals import Total, totals

# Told apart in every colour vision, and read on black and on white alike; the sign says it without
# colour. The first 16 colours are whatever a theme makes of them, and one's grey is its background.
GAIN, LOSS, FAINT, WARNING = "color(63)", "color(130)", "color(243)", "bold"
# Lines beside the trades and the totals: state, bar, table head, a note, and one to spare for the
# cursor.
OTHER_LINES = 5
LEAST_ROWS = 1
# Widths in columns from which more fits beside a trade's time, side and P&L.
WITH_TOKEN, WITH_BOTH, WITH_DATE, WITH_DEX = 40, 66, 84, 104


def screen(board: Board, width: int, height: int, now: float) -> RenderableType:
    parts: list[RenderableType] = [_state(board, now)]
    if board.complete is None and board.progress is not None:
        parts.append(_bar(board, width))
    below = [] if board.summary is None else list(totals(board.summary))
    rows = max(LEAST_ROWS, height - OTHER_LINES - len(below))
    parts.append(_trades(board, width, rows))
    parts += [_text(note, WARNING) for note in board.notes]
    if below:
        parts.append(_totals(below))
    agreed = None if board.complete is None else agreement(board.complete)
    if agreed is not None:  # it has the line of the bar, which is gone by then
        parts.append(_text(agreed, FAINT))
    return Group(*parts)


def state(board: Board, now: float) -> tuple[str, str]:
    """In words, and the colour for them."""
    if board.away is not None and board.away_until is not None:
        seconds = figures.whole(max(0.0, board.away_until - now))
        return f"away, back in {seconds} s: {reason(board.away)}", WARNING
    if board.connected is None:
        return "connecting", FAINT
    if board.complete is None:
        return "reading the history", ""
    if board.connected.follow:
        return "live", GAIN
    return "complete, verified" if board.complete.verified else "complete", GAIN


def _state(board: Board, now: float) -> Text:
    words, style = state(board, now)
    shown = Text(no_wrap=True, overflow="ellipsis")
    shown.append("● " if style == GAIN else "○ ", style=style)
    shown.append(figures.printable(words), style=style)
    shown.append(f"  {board.wallet}", style=FAINT)
    return shown


def _text(text: str, style: str = "") -> Text:
    """A text that may come from a server or a token, without what would steer the terminal."""
    return Text(figures.printable(text), style=style)


def _bar(board: Board, width: int) -> RenderableType:
    assert board.progress is not None
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(width=max(8, width // 4))
    row.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    percentage = board.progress.percentage
    known = figures.NOTHING if percentage is None else str(percentage)
    words = f"{known:>3} %  {board.progress.message}"
    done = min(max(percentage or 0, 0), 100)
    row.add_row(
        ProgressBar(total=100, completed=done, complete_style=GAIN, finished_style=GAIN),
        _text(words),
    )
    return row


def _trades(board: Board, width: int, rows: int) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style=FAINT, pad_edge=False)
    for name, least, most, justify in _COLUMNS:
        if least <= width < most:
            table.add_column(name, justify=justify, no_wrap=True, overflow="ellipsis")
    for trade in board.shown[-rows:]:
        cells = _cells(trade, width)
        table.add_row(*(_text(text, style) for text, style in cells))
    return table


# Names, and from which width up to which they are shown.
_COLUMNS: tuple[tuple[str, int, float, Literal["left", "right"]], ...] = (
    ("time UTC", 0, inf, "left"),
    ("side", 0, inf, "left"),
    ("token", WITH_TOKEN, WITH_BOTH, "right"),
    ("gave", WITH_BOTH, inf, "right"),
    ("got", WITH_BOTH, inf, "right"),
    ("P&L SOL", 0, inf, "right"),
    ("value $", WITH_DATE, inf, "right"),
    ("dex", WITH_DEX, inf, "left"),
)


def _cells(trade: Trade, width: int) -> Iterator[tuple[str, str]]:
    """Texts with their styles, for the columns that fit."""
    moment = figures.moment(trade.timestamp)
    yield (moment if width >= WITH_DATE else moment.rpartition(" ")[2]), FAINT
    yield trade.action, ""
    if width >= WITH_BOTH:
        yield figures.token(trade.token_in), ""
        yield figures.got(trade), ""
    elif width >= WITH_TOKEN:
        gave = trade.action in ("sell", "burn")
        yield figures.token(trade.token_in if gave else trade.token_out), ""
    yield _earned(trade)
    if width >= WITH_DATE:
        yield figures.amount(trade.value_usd), ""
    if width >= WITH_DEX:
        yield trade.dex, FAINT


def _earned(trade: Trade) -> tuple[str, str]:
    """`*`: some of what was sold has no known cost and is in no P&L."""
    if figures.is_without_cost(trade):
        return f"no cost: {figures.proceeds(trade)}", FAINT
    mark = "*" if figures.is_unmatched(trade) else ""
    return f"{figures.signed(trade.pnl_sol)}{mark}", tone(trade.pnl_sol)


def tone(value: Decimal | None) -> str:
    if value is None or value.is_nan():
        return FAINT
    return GAIN if value > 0 else LOSS if value < 0 else ""


def _totals(shown: Iterable[Total]) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, text, value in shown:
        style = tone(value) if value is not None else ""
        table.add_row(_text(name, FAINT), _text(text, style))
    return table
