from hypothesis import given
from hypothesis import strategies as st

from wd_server.sync.progress import STARTS, ProgressReport

steps = st.lists(
    st.tuples(
        st.sampled_from(sorted(STARTS)),
        st.integers(0, 30_000),
        st.integers(0, 30_000),
        st.floats(0, 0.5),
    ),
    max_size=60,
)


@given(steps)
def test_it_never_goes_back_nor_beyond_a_hundred(said: list[tuple[str, int, int, float]]) -> None:
    report, now, shown = ProgressReport(), 0.0, 0
    for step, signatures, done, pause in said:
        now += pause
        progress = report.update(step, now, signatures=signatures, done=done, trades=0)  # type: ignore[arg-type]
        if progress is not None:
            assert shown <= progress.percentage <= 100
            shown = progress.percentage


@given(steps)
def test_no_second_has_more_than_three_of_which_one_is_the_last_word(
    said: list[tuple[str, int, int, float]],
) -> None:
    report, now, ordinary = ProgressReport(), 0.0, []
    for step, signatures, done, pause in said:
        now += pause
        if step == "complete":
            continue
        if report.update(step, now, signatures=signatures, done=done, trades=0):  # type: ignore[arg-type]
            ordinary.append(now)
    for moment in ordinary:
        assert sum(moment <= other < moment + 1 for other in ordinary) <= 2


def test_the_last_word_is_never_held_back() -> None:
    report = ProgressReport()
    for _ in range(9):
        report.update("fetching_transactions", 5.0, signatures=10, done=1, trades=0)
    progress = report.update("complete", 5.0, signatures=10, done=10, trades=3)
    assert progress is not None
    assert (progress.percentage, progress.trades_found) == (100, 3)


def test_what_is_held_back_is_still_the_latest() -> None:
    report = ProgressReport()
    for done in range(5):
        report.update("fetching_transactions", 5.0, signatures=4, done=done, trades=done)
    assert report.latest is not None
    assert report.latest.transactions_done == 4


def test_reading_moves_between_its_step_and_the_next_in_proportion() -> None:
    report = ProgressReport()
    half = report.update("fetching_transactions", 0, signatures=200, done=100, trades=0)
    assert half is not None
    assert half.percentage == (STARTS["fetching_transactions"] + STARTS["processing_trades"]) // 2
