"""Every fault the simulated upstream can show, at the start of a sync pass and in the middle of it:
the stream ends complete and equal to an undisturbed one, or with the right error, and goes on from
there when the fault is over. A short history is never called complete. A fault that hits only the
comparison of the books with the chain, or the search for what the listing doesn't have, is no
error: `complete` says that there was no answer, or that something is unexplained.

Chains and servers run in this process, many cases at a time: most of it is waiting.
"""

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import uvloop
from eventsource import Event, EventSource

from wd_server.app import App
from wd_server.chain import faults, rpc, transactions
from wd_server.config.settings import Settings
from wd_server.server import Server
from wd_server.sync import missing
from wd_tools.simulator.faults import Fault, FaultKind
from wd_tools.simulator.options import SimulatorOptions
from wd_tools.simulator.rpc import Refusal
from wd_tools.simulator.server import Simulator

# Transactions: one request for the list of them, one for the first 100, one for the rest.
SIZE = 130
# At a time: so many that waiting overlaps, so few that nothing is late for want of a processor.
CASES_AT_ONCE = 12
# Seconds the whole module may take: a case that hangs is a failure, not a hung test run.
DEADLINE = 600

GTFA = "getTransactionsForAddress"
LISTING = "getSignaturesForAddress"
BATCH = "getTransaction"
BALANCE = "getBalance"
ACCOUNTS = "getTokenAccountsByOwner"
# How the upstream refuses getTransactionsForAddress; None: it has it.
MODES: dict[str, Refusal | None] = {
    "gtfa": None,
    "gtfa-403": "403",
    "gtfa-unknown": "method-not-found",
}
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

# What a sync pass that meets the fault for good ends with.
UNAVAILABLE, REJECTED = "UPSTREAM_UNAVAILABLE", "UPSTREAM_REJECTED"
FINAL: dict[FaultKind, str] = {
    "429": "UPSTREAM_RATE_LIMIT",
    "quota": "UPSTREAM_QUOTA",
    "bad_key": REJECTED,
    **dict.fromkeys(
        ("500", "502", "503", "504", "hang", "disconnect", "truncate", "garbage"), UNAVAILABLE
    ),
    **dict.fromkeys(("rpc_error", "null_results", "missing_batch_items"), UNAVAILABLE),
}
# These can't be waited out: one strike ends the sync pass.
AT_ONCE = frozenset[FaultKind](("quota", "bad_key"))


class Case(NamedTuple):
    mode: str
    fault: Fault | None

    def __str__(self) -> str:
        if self.fault is None:
            return self.mode
        fault = self.fault
        last = f"{fault.count}x" if fault.count else f"{fault.seconds:g}s" if fault.seconds else ""
        words = [self.mode, last, fault.kind, f"{fault.method}[{fault.after}]"]
        return "-".join(word for word in words if word)


class Played(NamedTuple):
    """The stream that met the fault, what is left when it is resumed after the fault is over, and
    a fresh one at the end. `strikes`: requests that the fault hit."""

    first: list[Event]
    resumed: list[Event]
    last: list[Event]
    strikes: int


def _methods(kind: FaultKind, mode: str) -> Iterator[tuple[str, int]]:
    """Where a fault strikes: the first request, and one in the middle of the transactions."""
    batches = kind in ("missing_batch_items", "shuffled_batch")
    if mode == "gtfa":
        if not batches:
            yield from ((GTFA, 0), (GTFA, 2))
        return
    if not batches and mode == "gtfa-403":
        yield LISTING, 0
    yield BATCH, 1


PASSING = [
    Case(mode, Fault(kind, count=1 if kind == "hang" else 3, method=method, after=after))
    for mode in MODES
    for kind in KINDS
    if kind not in AT_ONCE
    for method, after in _methods(kind, mode)
]
OUTAGES: list[tuple[FaultKind, float, float | None]] = [
    ("429", 1.5, 1.0),
    ("503", 3.0, None),
    ("503", 1.0, 1.0),
]
BURSTS = [
    Case(mode, Fault(kind, seconds=seconds, retry_after=retry_after))
    for mode in MODES
    for kind, seconds, retry_after in OUTAGES
]
LASTING = [
    Case(mode, Fault(kind, method=method, after=after))
    for mode in MODES
    for kind in FINAL
    if kind not in ("502", "504")  # as 503, and each takes its time
    for method, after in _methods(kind, mode)
]
REFUSALS = [
    Case(mode, Fault("rpc_error", code=code, method=method, after=after))
    for mode in MODES
    for code in (-32602, -32401)
    for method, after in _methods("rpc_error", mode)
]


# Requests of the comparison of the books with the chain: its first, and its last of three.
COMPARING = [("gtfa", BALANCE, 0), ("gtfa", ACCOUNTS, 1)]
# The request for the signatures of an account that shows a transaction that the listing lacks.
SEARCHING = ("gtfa-403", LISTING, 2)
BESIDE_PASSING = [
    Case(mode, Fault(kind, count=1 if kind == "hang" else 3, method=method, after=after))
    for kind in FINAL
    if kind not in (*AT_ONCE, "missing_batch_items")
    for mode, method, after in (*COMPARING, SEARCHING)
]
COMPARING_LASTING = [
    Case(mode, Fault(kind, method=method, after=after))
    for kind in FINAL
    if kind != "missing_batch_items"
    for mode, method, after in COMPARING
]
SEARCHING_LASTING = [
    Case(SEARCHING[0], Fault(kind, method=SEARCHING[1], after=SEARCHING[2]))
    for kind in FINAL
    if kind != "missing_batch_items"
]


@pytest.fixture(scope="module")
def impatience() -> Iterator[None]:
    """Waits that are long for good reasons are short here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "QUOTA_SECONDS", 0.0)
        # Three waits between four requests may take 3.5 s.
        patch.setattr(transactions, "NULL_SECONDS", 6.0)
        defaults = rpc.RpcClient.__init__.__kwdefaults__
        assert defaults is not None
        patch.setitem(defaults, "request_timeout", 2.0)
        yield


@pytest.fixture(scope="module")
def undisturbed(impatience: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    cases = [Case(mode, None) for mode in MODES]
    played = _play_all(cases, tmp_path_factory.mktemp("undisturbed"))
    return {case.mode: played[case] for case in cases}


@pytest.fixture(scope="module")
def passing(impatience: None, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Played]:
    return _play_all(PASSING + BURSTS + BESIDE_PASSING, tmp_path_factory.mktemp("passing"))


@pytest.fixture(scope="module")
def lasting(impatience: None, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Played]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rpc, "RETRY_SECONDS", 2.0)
        patch.setattr(transactions, "NULL_SECONDS", 3.0)
        return _play_all(LASTING + REFUSALS + SEARCHING_LASTING, tmp_path_factory.mktemp("lasting"))


@pytest.fixture(scope="module")
def not_compared(impatience: None, tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Played]:
    """Requests are retried without end, and only the comparison's own limit ends it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rpc, "RETRY_SECONDS", 2.0 * DEADLINE)
        patch.setattr(missing, "RECONCILE_WAIT_SECONDS", 2.0)
        return _play_all(COMPARING_LASTING, tmp_path_factory.mktemp("not_compared"))


@pytest.mark.parametrize("mode", MODES)
def test_without_a_fault_the_history_is_complete(mode: str, undisturbed: dict[str, Played]) -> None:
    played = undisturbed[mode]
    assert played.first[-1].name == "complete"
    assert len(_trades(played.first)) > SIZE // 2
    assert played.first[-1].data["reconciliation"]["status"] == "agrees"
    assert _history(played.last) == _history(played.first)


@pytest.mark.parametrize("mode", ["gtfa-403", "gtfa-unknown"])
def test_both_ways_of_refusing_a_method_lead_to_the_same_history(
    mode: str, undisturbed: dict[str, Played]
) -> None:
    refused = undisturbed["gtfa-403"], undisturbed[mode]
    assert _history(refused[0].first) == _history(refused[1].first)


@pytest.mark.parametrize("case", PASSING + BURSTS + BESIDE_PASSING, ids=str)
def test_a_fault_that_passes_changes_nothing(
    case: Case, passing: dict[Case, Played], undisturbed: dict[str, Played]
) -> None:
    played = passing[case]
    assert played.strikes > 0, "the fault hit nothing"
    assert [event.data for event in played.first if event.name == "error"] == []
    assert _history(played.first) == _history(undisturbed[case.mode].first)
    assert _compared(played.first) == _compared(undisturbed[case.mode].first)


@pytest.mark.parametrize("case", COMPARING_LASTING, ids=str)
def test_a_fault_of_the_comparison_is_no_error(
    case: Case, not_compared: dict[Case, Played], undisturbed: dict[str, Played]
) -> None:
    assert case.fault is not None
    played, whole = not_compared[case], undisturbed[case.mode].first
    assert played.strikes > 0, "the fault hit nothing"
    assert _history(played.first) == _history(whole)
    told, right = played.first[-1].data["reconciliation"], whole[-1].data["reconciliation"]
    assert told["status"] == "unavailable"
    assert told["reason"] == ("refused" if case.fault.kind == "bad_key" else "no_answer")
    assert told["sol"] is None
    assert told["differences"] == []
    assert told["closing_sol"] == right["closing_sol"]


@pytest.mark.parametrize("case", SEARCHING_LASTING, ids=str)
def test_what_a_fault_keeps_from_being_found_is_unexplained(
    case: Case, lasting: dict[Case, Played], undisturbed: dict[str, Played]
) -> None:
    played, whole = lasting[case], undisturbed[case.mode].first
    assert played.strikes > 0, "the fault hit nothing"
    end = played.first[-1]
    assert end.name == "complete", end
    told = end.data["reconciliation"]
    assert (told["status"], told["reason"]) == ("differs", "unexplained")
    assert end.data["metrics"]["unexplained_reasons"] == {"step": 1}
    signatures = {each["signature"] for each in _movements(played.first)}
    lacking = [each for each in _movements(whole) if each["signature"] not in signatures]
    assert len(lacking) == 2  # one is shown by a later transaction, one only by the comparison


@pytest.mark.parametrize("case", LASTING, ids=str)
def test_a_fault_that_lasts_ends_the_stream_with_its_error(
    case: Case, lasting: dict[Case, Played]
) -> None:
    assert case.fault is not None
    _assert_failed(lasting[case], FINAL[case.fault.kind])


@pytest.mark.parametrize("case", REFUSALS, ids=str)
def test_a_refused_request_ends_the_stream_at_once(case: Case, lasting: dict[Case, Played]) -> None:
    _assert_failed(lasting[case], REJECTED)


@pytest.mark.parametrize("case", LASTING + REFUSALS, ids=str)
def test_what_an_error_cut_short_is_continued_when_the_fault_is_over(
    case: Case, lasting: dict[Case, Played], undisturbed: dict[str, Played]
) -> None:
    played, whole = lasting[case], undisturbed[case.mode].first
    assert _history(played.last) == _history(whole)
    had = _trades(played.first)
    assert had == _trades(whole)[: len(had)]
    assert had + _trades(played.resumed) == _trades(whole)
    assert _movements(played.first + played.resumed) == _movements(whole)
    assert _summary(played.resumed) == _summary(whole)
    if had:
        assert played.resumed[0].data["resumed"] is True


def _assert_failed(played: Played, code: str) -> None:
    """The last event is this error, and none said that the history is complete."""
    assert played.strikes > 0, "the fault hit nothing"
    error = played.first[-1]
    assert error.name == "error", [event.name for event in played.first]
    assert error.data["code"] == code
    assert error.data["error"].endswith(".")
    assert error.retry is not None
    assert error.id is None
    assert "complete" not in [event.name for event in played.first]
    steps = [event.data["step"] for event in played.first if event.name == "progress"]
    assert "complete" not in steps


def _play_all(cases: list[Case], folder: Path) -> dict[Case, Played]:
    names = itertools.count()

    async def session() -> list[Played]:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(CASES_AT_ONCE)
        with ThreadPoolExecutor(CASES_AT_ONCE) as readers:
            run = partial(loop.run_in_executor, readers)

            async def play(case: Case) -> Played:
                async with room:
                    return await _play(case, folder / str(next(names)), run)

            async with asyncio.timeout(DEADLINE):
                return await asyncio.gather(*map(play, cases))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return dict(zip(cases, runner.run(session()), strict=True))


async def _play(case: Case, folder: Path, run: Callable[..., Awaitable[list[Event]]]) -> Played:
    chain = Simulator(SimulatorOptions(sizes=(SIZE,), no_gtfa=MODES[case.mode]))
    upstream = f"http://127.0.0.1:{await chain.start()}/"
    if case.fault is not None:
        chain.faults.add(case.fault)
    served = Server(App(_settings(folder, upstream)))
    await served.start()
    try:
        wallet = f"/v4/wallet/{chain.wallets[0].address}/stream?include=movements"
        url = f"http://127.0.0.1:{served.port}{wallet}"
        first = await run(_read, url, None)
        strikes = sum(chain.faults.strikes.values())
        chain.faults.clear()
        position = next((event.id for event in reversed(first) if event.id), None)
        finished = first[-1].name == "complete"
        resumed = [] if finished else await run(_read, url, position)
        return Played(first, resumed, await run(_read, url, None), strikes)
    finally:
        await chain.stop()
        await served.stop(1)


def _settings(folder: Path, upstream: str) -> Settings:
    return Settings.from_environment(
        {
            "PATH": os.environ["PATH"],
            "PORT": "0",
            "DATA_DIR": str(folder),
            "HELIUS_RPC_URL": upstream,
            "UPSTREAM_PLAN": "professional",
            "PRICE_SOURCE": "none",
            "RATE_LIMIT_REQUESTS": "0",
            "RATE_LIMIT_STREAMING_CONNECTIONS": "0",
        },
        port=0,
    )


def _read(url: str, position: str | None) -> list[Event]:
    headers = {"Last-Event-ID": position} if position else {}
    with EventSource(url, headers, timeout=DEADLINE) as stream:
        assert stream.status == 200
        return list(stream)


def _trades(events: list[Event]) -> list[dict[str, Any]]:
    return [_lasting(event.data) for event in events if event.name == "trade"]


def _movements(events: list[Event]) -> list[dict[str, Any]]:
    """In chain order: one that the listing doesn't have is stored when another one shows it."""
    movements = [_lasting(event.data) for event in events if event.name == "movement"]
    return sorted(movements, key=itemgetter("slot", "signature"))


def _lasting(entry: dict[str, Any]) -> dict[str, Any]:
    """Without the time at which it was stored, and with mints alone: a trade has no name of a token
    that is late, and a posting has one only where the server knew it anyway."""
    legs = {leg: _unnamed(entry[leg]) for leg in ("token_in", "token_out") if leg in entry}
    postings = [_unnamed(posting) for posting in entry.get("postings", ())]
    return {**entry, **legs, "postings": postings, "emitted_at": None}


def _unnamed(token: dict[str, Any]) -> dict[str, Any]:
    return {**token, "symbol": None}


def _summary(events: list[Event]) -> tuple[Any, ...]:
    data = events[-1].data
    return tuple(data[key] for key in ("trades_found", "summary", "truncated"))


def _compared(events: list[Event]) -> dict[str, Any]:
    """What came of the comparison with the chain, whenever that was."""
    return {**events[-1].data["reconciliation"], "slot": None, "checked_at": None}


def _history(events: list[Event]) -> tuple[Any, ...]:
    assert events[-1].name == "complete", events[-1]
    return _trades(events), _movements(events), _summary(events)
