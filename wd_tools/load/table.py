"""A report for people."""

from collections.abc import Iterator, Mapping

from rich.table import Table

from wd_tools.load.report import Report, Times

NOTHING = "-"


def table(report: Report) -> Table:
    shown = Table("what", "figure", title=f"{report.asked.url}, {report.seconds:.1f} s")
    for what, figure in rows(report):
        shown.add_row(what, figure)
    return shown


def rows(report: Report) -> Iterator[tuple[str, str]]:
    opening, events, live, resumes = report.opening, report.events, report.live, report.resumes
    opened = f"{opening.opened:,} of {report.asked.streams:,} in {opening.seconds:.1f} s"
    yield "streams opened", opened + _rate(opening.per_second)
    yield "time to first event", _times(opening.first_event_ms)
    size = f"{events.count:,} ({events.trades:,} trades, {events.bytes / 1e6:,.1f} MB)"
    yield "events", size + _rate(events.per_second)
    yield "live trades", f"{live.trades:,}{_rate(live.per_second)}"
    yield "delivery delay", _times(live.delay_ms, tail=True)
    yield "resumes", f"{resumes.count:,}"
    if resumes.count:
        yield "· first event", _times(resumes.first_event_ms)
        yield "· away", _times(resumes.away_ms)
    if resumes.absent:
        yield "· not back at the end", f"{resumes.absent:,}"
    if resumes.given_up:
        yield "· given up", f"{resumes.given_up:,}"
    yield from _ids(report)
    yield "closes", _counts(report.closes)
    yield "refusals", _counts(report.refusals)
    yield from _client(report)


def _ids(report: Report) -> Iterator[tuple[str, str]]:
    ids = report.ids
    yield "lost", f"{ids.lost:,}"
    yield "duplicates", f"{ids.duplicates:,}"
    yield "verified by digest", f"{ids.verified:,}"
    if ids.mismatches:
        yield "digests that differ", f"{ids.mismatches:,}"
    if ids.resets:
        yield "resets without a gap", f"{ids.resets:,}"
    if ids.malformed:
        yield "malformed ids", f"{ids.malformed:,}"
    if ids.unjudged:
        yield "holes not judged", f"{ids.unjudged:,}"
    if ids.gaps:
        yield "gaps", _counts(ids.gaps)
    if ids.behind.streams:
        yield "behind at the end", f"{ids.behind.streams:,} streams, {ids.behind.events:,} events"
    for example in ids.examples:
        after = f" after {example.after}" if example.after else ""
        yield f"· {example.kind} {example.entries:,}", f"{example.got}{after} of {example.wallet}"


def _client(report: Report) -> Iterator[tuple[str, str]]:
    cost = report.client
    yield (
        "this client",
        f"{cost.cpu_user:.1f} s user, {cost.cpu_system:.1f} s system, {cost.memory / 1e6:,.0f} MB, "
        f"busiest process {cost.busiest:.0%}",
    )
    if cost.saturated:
        yield (
            "",
            "It was busy all the time: the figures may be its own. Try more --processes.",
        )
    if report.live.early:
        yield "", f"{report.live.early:,} trades came before they were stored: the clocks differ."


def _times(times: Times, *, tail: bool = False) -> str:
    if not times.count:
        return NOTHING
    shares = [("p50", times.p50), ("p99", times.p99)]
    shares += [("p99.9", times.p999)] if tail else []
    shares += [("max", times.max)]
    return ", ".join(f"{name} {value:,.1f}" for name, value in shares) + " ms"


def _rate(per_second: float | None) -> str:
    return "" if per_second is None else f", {per_second:,.0f}/s"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or NOTHING
