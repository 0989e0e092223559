import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from wd_server.events.kinds import BY_NAME
from wd_server.journal.base import Entry
from wd_server.streaming.view import Filter, Progressed, View, without_usd

START = Progressed(0, 0)


def trade(
    seq: int, *, action: str = "buy", mint: str = "M", usd: float | None = 5.0, at: int = 0
) -> Entry:
    payload = {
        "signature": f"s{seq}",
        "timestamp": at,
        "action": action,
        "token_in": {"mint": "SOL"},
        "token_out": {"mint": mint},
        "value_usd": usd,
        "pnl_usd": usd,
        "value_sol": 1.5,
        "priced": usd is not None,
    }
    return Entry(seq, "trade", json.dumps(payload).encode())


def complete(seq: int) -> Entry:
    return Entry(seq, "complete", b'{"status":"complete","realized_pnl_usd":12.5}')


def events(data: bytes) -> list[tuple[str, str, dict[str, object]]]:
    found = []
    for block in data.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines["event"], lines["id"], json.loads(lines["data"])))
    return found


def test_each_trade_is_an_event_with_its_own_id() -> None:
    page = View().render(9, [trade(1), trade(2)], 2, 0, START, 0)
    assert [(name, event_id) for name, event_id, _ in events(page.frames.plain)] == [
        ("trade", "9-1"),
        ("trade", "9-2"),
    ]
    assert (page.seq, page.events, page.trades) == (2, 2, 2)


@given(st.integers(1, 7), st.integers(0, 40))
def test_batches_hold_every_trade_once_in_order_and_no_more_than_asked(
    size: int, count: int
) -> None:
    entries = [trade(seq) for seq in range(1, count + 1)] + [complete(count + 1)]
    page = View(batch=size).render(1, entries, count + 1, count + 1, START, 0)
    *batches, (name, _, _) = events(page.frames.plain)
    assert name == "complete"
    sent = [each["signature"] for _, _, data in batches for each in data["trades"]]  # type: ignore[attr-defined]
    assert sent == [f"s{seq}" for seq in range(1, count + 1)]
    assert all(len(data["trades"]) <= size for _, _, data in batches)  # type: ignore[arg-type]
    assert [data["batch_num"] for _, _, data in batches] == list(range(1, len(batches) + 1))
    assert [data["has_more"] for _, _, data in batches] == [True] * (len(batches) - 1) + [
        False
    ] * bool(batches)
    assert page.progressed == Progressed(len(batches), count)


def test_a_batchs_id_is_its_last_trades() -> None:
    page = View(batch=2).render(1, [trade(4), trade(5), trade(6)], 6, 0, START, 0)
    assert [event_id for _, event_id, _ in events(page.frames.plain)] == ["1-5", "1-6"]


def test_batch_numbers_go_on_where_the_stream_was() -> None:
    page = View(batch=2).render(1, [trade(9)], 9, 0, Progressed(4, 8), 0)
    (_, _, data) = events(page.frames.plain)[0]
    assert (data["batch_num"], data["total_yielded"]) == (5, 9)


def test_an_overtaken_complete_would_end_one_who_does_not_follow_and_is_left_out() -> None:
    entries = [trade(1), complete(2), trade(3), complete(4)]
    ends = View().render(1, entries, 4, 4, START, 0)
    assert [event_id for _, event_id, _ in events(ends.frames.plain)] == ["1-1", "1-3", "1-4"]
    stays = View(follow=True).render(1, entries, 4, 4, START, 0)
    assert [event_id for _, event_id, _ in events(stays.frames.plain)] == [
        "1-1",
        "1-2",
        "1-3",
        "1-4",
    ]


def test_a_filter_drops_trades_but_never_the_position_or_the_complete() -> None:
    entries = [trade(1, mint="A"), trade(2, mint="B"), complete(3)]
    page = View(filter=Filter(mint="B")).render(1, entries, 3, 3, START, 0)
    assert [event_id for _, event_id, _ in events(page.frames.plain)] == ["1-2", "1-3"]
    nothing = View(filter=Filter(mint="C")).render(1, entries[:2], 2, 0, START, 0)
    assert (nothing.frames.plain, nothing.seq) == (b"", 2)


def movement(seq: int, *, mint: str = "M", at: int = 0, reason: str = "sent") -> Entry:
    postings = [] if reason == "retracted" else [{"mint": "SOL"}, {"mint": mint}]
    payload = {"signature": f"s{seq}", "timestamp": at, "reason": reason, "postings": postings}
    return Entry(seq, "movement", json.dumps(payload).encode())


def ids(view: View, entries: list[Entry], standing: int = 0) -> list[str]:
    page = view.render(1, entries, entries[-1].seq, standing, START, 0)
    assert page.seq == entries[-1].seq
    return [event_id for _, event_id, _ in events(page.frames.plain)]


def test_movements_are_for_those_who_ask_and_hide_no_complete() -> None:
    entries = [trade(1), movement(2), complete(3), movement(4), movement(5)]
    assert ids(View(), entries, 3) == ids(View(follow=True), entries, 3) == ["1-1", "1-3"]
    assert ids(View(movements=True), entries, 3) == ["1-1", "1-2", "1-3", "1-4", "1-5"]
    overtaken = [*entries, trade(6)]
    assert ids(View(movements=True), overtaken) == ["1-1", "1-2", "1-4", "1-5", "1-6"]


def test_a_batch_with_nothing_but_hidden_movements_behind_it_is_the_last() -> None:
    entries = [trade(1), movement(2), trade(3), movement(4), complete(5), movement(6)]
    for view, more in ((View(batch=9), [False]), (View(batch=9, movements=True), [True, True])):
        page = view.render(1, entries, 6, 5, START, 0)
        told = [data["has_more"] for name, _, data in events(page.frames.plain) if name == "trades"]
        assert told == more


def test_filters_of_tokens_and_times_are_those_of_movements() -> None:
    entry = movement(1, mint="A", at=100)
    assert Filter(mint="A", since=100, side="buy", min_usd=Decimal(5)).passes(entry)
    assert not Filter(mint="B").passes(entry)
    assert not Filter(since=101).passes(entry)
    assert Filter(mint="B", since=101).passes(movement(2, reason="retracted"))


def test_each_filter_looks_at_its_own_field() -> None:
    entry = trade(1, action="sell", mint="A", usd=5.0, at=100)
    assert Filter(mint="SOL").passes(entry)
    assert not Filter(mint="B").passes(entry)
    assert Filter(side="sell").passes(entry)
    assert not Filter(side="buy").passes(entry)
    assert Filter(since=100).passes(entry)
    assert not Filter(since=101).passes(entry)
    assert Filter(min_usd=Decimal(5)).passes(entry)
    assert not Filter(min_usd=Decimal("5.01")).passes(entry)


def test_a_trade_without_a_price_does_not_pass_a_least_value() -> None:
    assert not Filter(min_usd=Decimal(0)).passes(trade(1, usd=None))


def test_without_pricing_usd_values_are_gone_at_every_depth_and_sol_stays_exact() -> None:
    payload = b'{"value_usd":1.5,"priced":true,"summary":{"volume_usd":2},"value_sol":0.100000001}'
    assert without_usd(payload) == (
        b'{"value_usd":null,"priced":false,"summary":{"volume_usd":null},"value_sol":0.100000001}'
    )


def test_views_that_ask_the_same_share_their_bytes() -> None:
    assert View(batch=5) == View(batch=5)
    assert hash(View(filter=Filter(mint="A"))) == hash(View(filter=Filter(mint="A")))
    assert View(batch=5) != View(batch=6)


def test_totals_are_for_streams_that_follow_and_a_preview_is_for_all() -> None:
    assert [view.shows(BY_NAME["summary"]) for view in (View(follow=True), View())] == [True, False]
    assert [view.shows(BY_NAME["preview"]) for view in (View(follow=True), View())] == [True, True]
