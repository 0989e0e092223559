import asyncio
import copy
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from scripted_chain import (
    WALLET,
    ScriptedChain,
    chain,
    name_of,
    signature_of,
    signed,
    transaction,
)
from scripted_rpc import Bench, Hang, Reply, bench, error, run
from structlog.testing import capture_logs

from wd_server.chain import chunks, history
from wd_server.chain.history import (
    CHUNKS_AHEAD,
    FINAL_SECONDS,
    FIRST_FINAL_SECONDS,
    NEWEST,
    NOTHING_KNOWN,
    Fetched,
    History,
    Listed,
    Newest,
)
from wd_server.chain.listing import Cursor
from wd_server.chain.payloads import (
    ListedTransaction,
    Transaction,
    UnreadableTransaction,
)
from wd_server.chain.transactions import MODE_SECONDS, NULL_SECONDS, SLICE
from wd_server.errors import UpstreamError, UpstreamQuota, UpstreamRejected, UpstreamUnavailable

BOTH = pytest.mark.parametrize("by_page", [True, False], ids=["by page", "by signature"])
LIMIT = 20_000


@dataclass
class Read:
    """Everything one read gave."""

    listed: list[Listed] = field(default_factory=list)
    newest: list[Newest] = field(default_factory=list)
    fetched: list[Fetched] = field(default_factory=list)

    @property
    def transactions(self) -> list[ListedTransaction]:
        """In the order of the chain: what came ahead of its turn is the end, from there back."""
        steps = [*self.fetched, *reversed(self.newest)]
        return [each for step in steps for each in step.transactions]

    @property
    def signatures(self) -> list[str]:
        return [each.signature for each in self.transactions]


async def read(
    history: History,
    after: Cursor | None = None,
    limit: int = LIMIT,
    into: Read | None = None,
    known: Mapping[str, int] = NOTHING_KNOWN,
) -> Read:
    outcome = into or Read()
    async with aclosing(history.read(WALLET, after, limit, known)) as steps:
        async for step in steps:
            match step:
                case Listed():
                    outcome.listed.append(step)
                case Newest():
                    outcome.newest.append(step)
                case Fetched():
                    outcome.fetched.append(step)
    return outcome


@dataclass
class Setup:
    bench: Bench
    chain: ScriptedChain
    history: History

    def methods(self) -> list[str]:
        requests = (r[0] if isinstance(r, list) else r for r in self.bench.server.requests)
        return [each["method"] for each in requests]

    def fetches(self) -> list[dict[str, Any]]:
        """The requests for whole transactions, of each batch the first call."""
        requests = (r[0] if isinstance(r, list) else r for r in self.bench.server.requests)
        return [each for each in requests if each["params"][1].get("encoding")]


@asynccontextmanager
async def setup(
    transactions: list[dict[str, Any]], by_page: bool = True
) -> AsyncGenerator[Setup, None]:
    async with bench() as b:
        upstream = ScriptedChain(transactions)
        if not by_page:
            upstream.offers.remove("getTransactionsForAddress")
        b.server.otherwise = upstream
        history = History(b.rpc, clock=b.time.clock, random=lambda: 0.5, sleep=b.time.sleep)
        yield Setup(b, upstream, history)


def once(first: Callable[..., Any], later: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter((first,))
    return lambda *params: next(calls, later)(*params)


def expected(transactions: list[dict[str, Any]]) -> list[str]:
    return [signature_of(each) for each in transactions]


@BOTH
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1000, 2345])
def test_a_wallet_is_read_oldest_first_whole_and_once(by_page: bool, count: int):
    async def main():
        async with setup(chain(count), by_page) as s:
            got = await read(s.history)
            assert got.signatures == expected(s.chain.transactions)
            assert got.listed[-1] == Listed(count, finished=True, truncated=False)
            assert [each.done for each in got.fetched][-1:] == ([count] if count else [])
            assert all(len(each.transactions) <= SLICE for each in [*got.fetched, *got.newest[1:]])

    run(main)


@BOTH
def test_failed_transactions_are_handed_on(by_page: bool):
    async def main():
        async with setup(chain(20), by_page) as s:
            got = await read(s.history)
            assert [t.signature for t in got.transactions if t.meta.err] == [
                signed("sig0"),
                signed("sig10"),
            ]

    run(main)


@BOTH
def test_the_listing_tells_how_far_it_is(by_page: bool):
    async def main():
        async with setup(chain(25), by_page) as s:
            s.chain.page = 10
            got = await read(s.history)
            found = [each.signatures_found for each in got.listed]
            assert found == sorted(found)
            assert found[:2] == [10, 20]
            assert [each.finished for each in got.listed][-2:] == [False, True]

    run(main)


def test_the_listing_is_not_held_up_by_what_is_asked_for_beside_it():
    async def main():
        async with setup(chain(900), by_page=False) as s:
            s.chain.page = 300
            s.bench.rpc._rpc_limiter.bucket.drain(s.bench.time.now)  # the limit leaves nothing over
            got = await read(s.history)
            assert got.signatures == expected(s.chain.transactions)
            assert len(got.newest) == 1  # the preview's
            lists = [n for n, each in enumerate(s.methods()) if each != "getTransaction"]
            assert lists[-1] <= 5

    run(main)


@BOTH
def test_the_newest_come_once_early_and_in_chain_order_when_there_is_more_to_list(by_page: bool):
    async def main():
        async with setup(chain(300), by_page) as s:
            s.chain.page = 100
            got = await read(s.history)
            newest = [t.signature for t in got.newest[0].transactions]
            assert newest == expected(s.chain.transactions)[-NEWEST:]
            assert got.signatures == expected(s.chain.transactions)

    run(main)


@BOTH
def test_a_small_wallet_has_no_preview_and_is_fetched_once(by_page: bool):
    async def main():
        async with setup(chain(30), by_page) as s:
            assert (await read(s.history)).newest == []
            method = "getTransactionsForAddress" if by_page else "getTransaction"
            fetches = [
                each[0] if isinstance(each, list) else each
                for each in s.bench.server.requests
                if "encoding" in str(each)
            ]
            assert [each["method"] for each in fetches] == [method]

    run(main)


def test_a_preview_that_fails_is_left_out():
    async def main():
        async with setup(chain(300)) as s:
            s.chain.page = 100
            refused = iter([error(-32602), error(-32602)])
            s.chain.spoil = lambda request: (
                next(refused, None)
                if request["params"][1].get("transactionDetails") == "full"
                else None
            )
            got = await read(s.history)
            assert got.newest == []
            assert got.signatures == expected(s.chain.transactions)

    run(main)


@BOTH
def test_only_what_is_after_the_cursor_is_read(by_page: bool):
    async def main():
        async with setup(chain(300), by_page) as s:
            for n in (0, 1, 2, 3, 150, 298, 299):
                got = await read(s.history, Cursor(100 + n // 3, signed(f"sig{n}")))
                assert got.signatures == expected(s.chain.transactions)[n + 1 :]

    run(main)


@BOTH
def test_nothing_new_costs_one_call(by_page: bool):
    async def main():
        async with setup(chain(30), by_page) as s:
            await read(s.history)
            s.bench.server.requests.clear()
            got = await read(s.history, Cursor(109, signed("sig29")))
            [request] = s.bench.server.requests
            assert got.signatures == []
            if not by_page:
                assert request["params"][1]["until"] == signed("sig29")

    run(main)


@BOTH
def test_a_cursor_that_left_the_chain_counts_by_its_slot(by_page: bool):
    async def main():
        async with setup(chain(30), by_page) as s:
            got = await read(s.history, Cursor(104, "forked away"))
            assert got.signatures == [signed(f"sig{n}") for n in range(15, 30)]

    run(main)


@BOTH
def test_of_a_wallet_past_the_limit_the_newest_are_read_and_it_is_told(by_page: bool):
    async def main():
        async with setup(chain(301), by_page) as s:
            s.chain.page = 100
            got = await read(s.history, limit=200)
            assert got.signatures == [signed(f"sig{n}") for n in range(101, 301)]
            assert got.listed[-1] == Listed(200, finished=True, truncated=True)
            assert max(each.signatures_found for each in got.listed) == 200

    run(main)


@BOTH
def test_a_wallet_of_exactly_the_limit_is_whole(by_page: bool):
    async def main():
        async with setup(chain(200), by_page) as s:
            s.chain.page = 100
            got = await read(s.history, limit=200)
            assert len(got.signatures) == 200
            assert not got.listed[-1].truncated

    run(main)


def test_order_in_a_block_is_by_index_where_the_upstream_tells_it():
    async def main():
        shuffled = [transaction(5, index, f"sig{index}") for index in (2, 0, 3, 1)]
        async with setup(shuffled) as s:
            assert [name_of(each) for each in (await read(s.history)).signatures] == [
                *("sig0", "sig1", "sig2", "sig3")
            ]

    run(main)


def test_many_transactions_of_one_block_across_pages_stay_in_order():
    async def main():
        async with setup(chain(50, per_slot=50)) as s:
            s.chain.page = s.chain.full_page = 7
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


@pytest.mark.parametrize("refusal", [error(-32601), error(-32403), Reply(b"", 403)])
def test_an_upstream_without_the_better_method_is_read_by_signature_and_remembered(refusal: Any):
    async def main():
        async with setup(chain(30)) as s:
            s.bench.server.script = [refusal]
            assert s.history.statistics().mode == "undecided"
            assert len((await read(s.history)).signatures) == 30
            assert s.history.statistics().mode == "signatures_for_address"
            await read(s.history)
            assert s.methods().count("getTransactionsForAddress") == 1
            s.bench.time.now += MODE_SECONDS
            await read(s.history)
            assert s.history.statistics().mode == "transactions_for_address"

    run(main)


def test_a_method_that_is_withdrawn_while_reading_is_replaced():
    async def main():
        async with setup(chain(300)) as s:
            s.chain.spoil = lambda request: (
                Reply(b"", 403)
                if request["method"] == "getTransactionsForAddress"
                and request["params"][1]["transactionDetails"] == "full"
                else None
            )
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


def test_a_batch_that_is_too_large_is_halved_until_it_fits_and_stays_so():
    async def main():
        async with setup(chain(200), by_page=False) as s:
            s.chain.batch = 10
            assert (await read(s.history)).signatures == expected(s.chain.transactions)
            assert s.history.statistics().batch <= 10
            s.bench.server.requests.clear()
            await read(s.history)
            assert max(len(r) for r in s.bench.server.requests if isinstance(r, list)) <= 10

    run(main)


def test_an_upstream_without_batches_is_asked_one_by_one():
    async def main():
        async with setup(chain(12), by_page=False) as s:
            s.chain.batch = 0
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


def test_an_upstream_with_smaller_pages_is_asked_for_smaller_ones():
    async def main():
        async with setup(chain(700)) as s:

            def refuse(request: Any) -> Any:
                options = request["params"][1]
                if options.get("transactionDetails") == "full" and options["limit"] > 100:
                    return error(-32602)
                return None

            s.chain.spoil = refuse
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


def test_signature_pages_that_the_upstream_caps_are_not_the_end():
    async def main():
        async with setup(chain(95), by_page=False) as s:
            s.chain.page = 10
            assert len((await read(s.history)).signatures) == 95

    run(main)


def test_nulls_are_asked_again_until_they_are_there():
    async def main():
        async with setup(chain(30), by_page=False) as s:
            s.chain.nulls = {"sig3": 2, "sig29": 1}
            assert (await read(s.history)).signatures == expected(s.chain.transactions)
            assert s.bench.time.slept

    run(main)


def test_a_transaction_that_stays_null_ends_the_read():
    async def main():
        async with setup(chain(30), by_page=False) as s:
            s.chain.nulls = {"sig3": 10**6}
            with pytest.raises(UpstreamUnavailable, match="doesn't give"):
                await read(s.history)

    run(main)


def test_the_final_slot_is_asked_for_once_for_all_and_seldom_for_a_first_read():
    async def main():
        async with setup([]) as s:
            s.chain.final_slot = 100
            asked = (s.history.final_slot(first=first) for first in (True, False, True))
            assert await asyncio.gather(*asked) == [100] * 3
            s.chain.final_slot = 200
            s.bench.time.now += FINAL_SECONDS
            assert await s.history.final_slot(first=True) == 100
            assert await s.history.final_slot(first=False) == 200
            assert s.methods() == ["getSlot"] * 2
            s.chain.final_slot = 300
            s.bench.time.now += FIRST_FINAL_SECONDS
            assert await s.history.final_slot(first=True) == 300
            assert s.methods() == ["getSlot"] * 3

    run(main)


@BOTH
@pytest.mark.parametrize("count", [1, 30, 300])
def test_what_leaves_the_chain_while_it_is_read_is_left_out(by_page: bool, count: int):
    async def main():
        async with setup(chain(count), by_page) as s:
            s.chain.final_slot = 99
            await s.history.final_slot(first=False)
            leave_once_listed(s, 2)
            got = await read(s.history)
            assert got.signatures == expected(s.chain.transactions)
            assert got.listed[-1].signatures_found == count
            assert s.bench.time.now < 1000 + NULL_SECONDS / 2

    run(main)


def test_many_that_leave_the_chain_are_asked_for_by_the_most_that_may_be_asked_for():
    async def main():
        async with setup(chain(600)) as s:
            s.chain.final_slot = 99
            await s.history.final_slot(first=False)
            leave_once_listed(s, 600)
            assert (await read(s.history)).signatures == []

    run(main)


@pytest.mark.parametrize("final_slot", [None, 10**6], ids=["that was never asked for", "above it"])
def test_what_may_be_final_is_never_left_out(final_slot: int | None):
    async def main():
        async with setup(chain(30), by_page=False) as s:
            if final_slot is not None:
                s.chain.final_slot = final_slot
                await s.history.final_slot(first=False)
            leave_once_listed(s, 2)
            with pytest.raises(UpstreamUnavailable, match="doesn't give"):
                await read(s.history)

    run(main)


def test_an_upstream_that_cannot_tell_what_left_the_chain_is_asked_again():
    async def main():
        async with setup(chain(30), by_page=False) as s:
            s.chain.offers.remove("getSignatureStatuses")
            await s.history.final_slot(first=False)
            s.chain.nulls = {"sig3": 6}
            assert (await read(s.history)).signatures == expected(s.chain.transactions)
            assert "getSignatureStatuses" in s.methods()

    run(main)


def leave_once_listed(s: Setup, count: int) -> None:
    """The newest so many leave the chain before they are fetched."""

    def spoil(request: Any) -> None:
        options = request["params"][1:]
        if request["method"] == "getTransaction" or "full" in str(options):
            s.chain.transactions = s.chain.transactions[: max(0, size - count)]

    size = len(s.chain.transactions)
    s.chain.spoil = spoil


def test_a_null_to_a_single_call_is_asked_again_too():
    async def main():
        async with setup(chain(1), by_page=False) as s:
            s.chain.nulls = {"sig0": 2}
            assert (await read(s.history)).signatures == [signed("sig0")]

    run(main)


def test_a_listed_transaction_that_its_page_leaves_out_is_fetched_by_signature():
    async def main():
        async with setup(chain(30)) as s:
            whole = s.chain.getTransactionsForAddress

            def leaky(wallet: str, options: Any) -> Any:
                page = whole(wallet, options)
                if options["transactionDetails"] == "full":
                    page["data"] = [t for t in page["data"] if signature_of(t) != signed("sig7")]
                return page

            s.chain.getTransactionsForAddress = leaky
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


def test_an_empty_page_with_a_token_is_not_the_end():
    async def main():
        async with setup(chain(30)) as s:
            whole = s.chain.getTransactionsForAddress
            empties = iter(["a", "b", "c"])

            def scanning(wallet: str, options: Any) -> Any:
                token = next(empties, None)
                if token:
                    return {"data": [], "paginationToken": token}
                options = {k: v for k, v in options.items() if v not in ["a", "b", "c"]}
                return whole(wallet, options)

            s.chain.getTransactionsForAddress = scanning
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


@pytest.mark.parametrize(
    ("details", "token", "empty"),
    [
        ("signatures", "same", True),
        ("signatures", "same", False),
        ("signatures", "new", True),
        ("signatures", "new", False),
        ("full", "same", True),
        ("full", "same", False),
        ("full", "new", True),
    ],
)
def test_pages_that_never_end_are_an_error(details: str, token: str, empty: bool):
    async def main():
        async with setup(chain(30)) as s:
            whole = s.chain.getTransactionsForAddress
            number = 0

            def endless(wallet: str, options: Any) -> Any:
                nonlocal number
                page = whole(wallet, {k: v for k, v in options.items() if k != "paginationToken"})
                if options["transactionDetails"] == details:
                    number += 1
                    page["data"] = [] if empty else page["data"][:5]
                    page["paginationToken"] = f"1:{number if token == 'new' else 1}"
                return page

            s.chain.getTransactionsForAddress = endless
            with pytest.raises(UpstreamUnavailable, match="circles"):
                await read(s.history)

    run(main)


def test_signature_pages_that_repeat_are_an_error():
    async def main():
        async with setup(chain(30), by_page=False) as s:
            whole = s.chain.getSignaturesForAddress
            s.chain.getSignaturesForAddress = lambda wallet, options: whole(wallet, {"limit": 10})
            with pytest.raises(UpstreamUnavailable, match="circles"):
                await read(s.history)

    run(main)


@BOTH
def test_a_signature_that_is_none_costs_the_wallet_no_other(by_page: bool):
    async def main():
        async with setup(chain(30), by_page) as s:
            method = "getTransactionsForAddress" if by_page else "getSignaturesForAddress"
            whole = getattr(s.chain, method)

            def odd(*params: Any) -> Any:
                page = whole(*params)
                listed = page["data"] if by_page else page
                if not by_page or params[1]["transactionDetails"] == "signatures":
                    listed[4]["signature"] = "\x1b]0;x\x07"
                    listed[7]["slot"] = None
                    listed.insert(2, None)
                    listed.append({"signature": "1" * 1_000_000, "slot": 1})
                return page

            s.chain.page = 31
            setattr(s.chain, method, once(odd, whole))
            transactions = expected(s.chain.transactions)
            del transactions[-8], transactions[-5]
            assert (await read(s.history)).signatures == transactions
            assert s.history.statistics().unlisted == 4

    run(main)


@BOTH
def test_a_page_of_which_nothing_can_be_read_is_not_the_end_of_the_wallet(by_page: bool):
    async def main():
        async with setup(chain(30), by_page) as s:
            if by_page:
                odd: Any = {"data": [{"slot": 5}], "paginationToken": None}
                s.chain.getTransactionsForAddress = lambda *_: odd
            else:
                s.chain.getSignaturesForAddress = lambda *_: [{"slot": 5}]
            with pytest.raises(UpstreamUnavailable, match="can't be read"):
                await read(s.history)

    run(main)


@pytest.mark.parametrize("slot", [-1, 2**53, 10**300, None, "7"])
def test_a_final_slot_that_is_none_is_no_answer(slot: Any):
    async def main():
        async with setup(chain(30)) as s:
            s.chain.final_slot = slot
            with pytest.raises(UpstreamUnavailable):
                await s.history.final_slot(first=True)

    run(main)


@BOTH
def test_entries_repeated_across_pages_are_listed_once(by_page: bool):
    async def main():
        doubled = [each for each in chain(40) for _ in range(2)]
        async with setup(doubled) as s:
            s.chain.page = 7
            assert (await read(s.history)).signatures == expected(chain(40))

    run(main)


def test_a_listing_out_of_order_is_an_error():
    async def main():
        async with setup(chain(30)[15:] + chain(30)[:15]) as s:
            s.chain.page = 15
            with pytest.raises(UpstreamUnavailable, match="out of order"):
                await read(s.history)

    run(main)


@BOTH
@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Reply(b"", 503), UpstreamUnavailable),
        (Reply(b"not json"), UpstreamUnavailable),
        (error(-32602), UpstreamRejected),
        (Reply(b"max usage reached"), UpstreamQuota),
        (Reply(b"", 401), UpstreamRejected),
    ],
)
@pytest.mark.parametrize("request_number", [1, 3, 5, 8])
def test_a_page_that_fails_for_good_ends_the_read_and_what_came_before_stays_right(
    by_page: bool, trouble: Any, kind: type[UpstreamError], request_number: int
):
    async def main():
        async with setup(chain(900, per_slot=1), by_page) as s:
            s.chain.page = 450
            s.chain.full_page = 100
            s.chain.spoil = lambda _: (
                trouble if len(s.bench.server.requests) >= request_number else None
            )
            got = Read()
            with pytest.raises(kind):
                await read(s.history, into=got)
            fetched = [each.signature for step in got.fetched for each in step.transactions]
            assert fetched == expected(s.chain.transactions)[: len(fetched)]
            assert len(got.signatures) < 900

    run(main)


@BOTH
def test_trouble_that_passes_leaves_no_trace_in_the_history(by_page: bool):
    async def main():
        async with setup(chain(900), by_page) as s:
            s.chain.page = 300
            tries: Counter[str] = Counter()

            def stumble(request: Any) -> Any:
                calls = request if isinstance(request, list) else [request]
                asked = str([each["params"] for each in calls])
                tries[asked] += 1
                return [None, Reply(b"", 503), Reply(b"", 429), Reply(b"{")][tries[asked] % 4]

            s.chain.spoil = stumble
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


@BOTH
def test_a_transaction_that_cannot_be_read_stands_in_its_place_and_is_logged_once(by_page: bool):
    async def main():
        async with setup(chain(300), by_page) as s:
            s.chain.transactions[4]["meta"]["fee"] = "five"
            s.chain.transactions[77]["meta"] = None
            s.chain.transactions[150]["meta"]["innerInstructions"] = "none"
            s.chain.transactions[299]["transaction"]["message"] = 7
            with capture_logs() as logs:
                for _ in range(2):
                    got = await read(s.history)
                    assert got.signatures == expected(s.chain.transactions)
            odd = [each for each in got.transactions if isinstance(each, UnreadableTransaction)]
            assert [name_of(each.signature) for each in odd] == [
                "sig4",
                "sig77",
                "sig150",
                "sig299",
            ]
            assert [each.slot for each in odd] == [101, 125, 150, 199]
            assert all(each.reason for each in odd)
            assert [each.balances is not None for each in odd] == [False, False, True, False]
            told = [log for log in logs if log["event"].endswith("can't be read")]
            assert sorted(log["signature"] for log in told) == sorted(
                each.signature for each in odd
            )
            assert s.history.statistics().unread == 4

    run(main)


@BOTH
def test_one_that_does_not_even_say_which_it_is_costs_only_itself(by_page: bool):
    async def main():
        async with setup(chain(30), by_page) as s:
            given = s.chain.answer

            def odd(request: Any) -> dict[str, Any]:
                answer = copy.deepcopy(given(request))
                result = answer.get("result") or {}
                for each in result.get("data", [result]) if isinstance(result, dict) else []:
                    if each.get("transaction", {}).get("signatures") == [signed("sig4")]:
                        each["transaction"] = None
                return answer

            s.chain.answer = odd
            got = await read(s.history)
            assert got.signatures == expected(s.chain.transactions)
            unreadable = [each for each in got.transactions if not isinstance(each, Transaction)]
            assert [each.signature for each in unreadable] == [signed("sig4")]
            assert s.history.statistics().unread == 1

    run(main)


@BOTH
def test_a_transaction_of_a_version_to_come_costs_only_itself(by_page: bool):
    """A node refuses every answer that it would be in (error -32015)."""

    async def main():
        async with setup(chain(300), by_page) as s:
            given, refused = s.chain.answer, {"code": -32015, "message": "version"}

            def refuse(request: Any) -> dict[str, Any]:
                answer = given(request)
                if "encoding" in request["params"][1] and signed("sig4") in str(answer):
                    return {"jsonrpc": "2.0", "id": request["id"], "error": refused}
                return answer

            s.chain.answer = refuse
            got = await read(s.history)
            assert got.signatures == expected(s.chain.transactions)
            unreadable = [each for each in got.transactions if not isinstance(each, Transaction)]
            assert [each.signature for each in unreadable] == [signed("sig4")]

    run(main)


@BOTH
def test_a_read_that_is_closed_early_leaves_no_request_and_no_task(by_page: bool):
    async def main():
        async with setup(chain(2000), by_page) as s:
            first_and_newest = {signed("sig0"), signed("sig1950"), 100, 750}

            def hang(request: Any) -> Any:
                first, options = request["params"]
                if options.get("transactionDetails") == "full":
                    first = options["filters"]["slot"]["gte"]
                return Hang() if "encoding" in options and first not in first_and_newest else None

            s.chain.spoil = hang
            async with aclosing(s.history.read(WALLET, None, LIMIT)) as steps:
                async for step in steps:
                    if isinstance(step, Fetched):
                        break
                await s.bench.server.hanging.wait()
            assert not [t for t in asyncio.all_tasks() if "wd_server" in repr(t.get_stack())]
            await s.bench.server.dropped.wait()

    run(main)


@pytest.mark.parametrize("method", ["getTransactionsForAddress", "getTransaction"])
def test_a_read_that_is_cancelled_while_it_waits_leaves_no_request(method: str):
    async def main():
        async with setup(chain(30), method == "getTransactionsForAddress") as s:
            s.chain.spoil = lambda request: Hang() if request["method"] == method else None
            task = asyncio.create_task(read(s.history))
            await s.bench.server.hanging.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await s.bench.server.dropped.wait()

    run(main)


@BOTH
def test_no_more_than_a_few_chunks_are_ahead_of_the_consumer(by_page: bool):
    async def main():
        async with (
            setup(chain(4000), by_page) as s,
            aclosing(s.history.read(WALLET, None, LIMIT)) as steps,
        ):
            before = []
            async for step in steps:
                if isinstance(step, Newest):
                    before.append(step)
                if isinstance(step, Fetched):
                    break
            ahead = sum(len(each.transactions) for each in before) // 100 + CHUNKS_AHEAD
            assert len(s.fetches()) <= ahead + CHUNKS_AHEAD + 1  # one is smaller, the preview's

    run(main)


def test_with_no_memory_to_spare_a_read_has_one_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chunks, "HELD_BYTES_MAX", 0)

    async def main():
        async with (
            setup(chain(1500), by_page=False) as s,
            aclosing(s.history.read(WALLET, None, LIMIT)) as steps,
        ):
            signatures = []
            async for step in steps:
                if isinstance(step, Fetched):
                    if len(signatures) % 100 == 0:
                        assert len(s.fetches()) <= len(signatures) // 100 + 1
                    signatures += [each.signature for each in step.transactions]
            assert signatures == expected(s.chain.transactions)

    run(main)


def test_no_more_is_handed_on_ahead_of_its_turn_than_may_wait(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(history, "AHEAD_TRANSACTIONS", 250)

    async def main():
        async with setup(chain(900), by_page=False) as s:
            s.chain.page = 200
            for _ in range(2):  # the first has given back what it took
                got = await read(s.history)
                assert got.signatures == expected(s.chain.transactions)
                assert sum(len(each.transactions) for each in got.newest) == 250

    run(main)


@BOTH
def test_what_is_asked_for_while_the_listing_goes_on_is_asked_for_once(by_page: bool):
    async def main():
        async with setup(chain(1500, per_slot=1), by_page) as s:
            s.chain.page = 300
            got = await read(s.history)
            assert got.signatures == expected(s.chain.transactions)
            if by_page:
                slots = [each["params"][1]["filters"]["slot"] for each in s.fetches()]
                sizes = [each["lte"] - each["gte"] + 1 for each in slots]
            else:
                batches = [r for r in s.bench.server.requests if isinstance(r, list)]
                sizes = [len(each) for each in batches]
            assert sum(sizes) == 1500
            assert by_page or len(got.newest) > 1  # a page holds more than is listed at a time

    run(main)


def test_a_cursor_among_what_was_asked_for_early_is_not_passed():
    async def main():
        async with setup(chain(300, per_slot=150)) as s:
            s.chain.page = 100
            for n in (249, 250, 251, 299):
                got = await read(s.history, Cursor(101, signed(f"sig{n}")))
                assert got.signatures == expected(s.chain.transactions)[n + 1 :]

    run(main)


@BOTH
def test_what_failed_early_is_asked_for_again_in_its_turn(by_page: bool):
    async def main():
        async with setup(chain(1500, per_slot=1), by_page) as s:
            s.chain.page = 300
            refused = []

            def refuse(request: Any) -> Any:
                if "encoding" in request["params"][1] and len(refused) < 8:
                    refused.append(request)
                    return error(-32602)
                return None

            s.chain.spoil = refuse
            got = await read(s.history)
            assert got.newest == []
            assert got.signatures == expected(s.chain.transactions)
            assert len(refused) == 8

    run(main)


def test_pages_shrink_to_what_the_loop_can_bear():
    async def main():
        heavy = chain(900, per_slot=1)
        for each in heavy:
            each["meta"]["logMessages"] = ["x" * 10_000]
        async with setup(heavy) as s:
            assert (await read(s.history)).signatures == expected(heavy)
            full = [
                each["params"][1]["filters"]["slot"]
                for each in s.bench.server.requests
                if each["params"][1]["transactionDetails"] == "full"
            ]
            assert {slots["lte"] - slots["gte"] + 1 for slots in full} == {100}

    run(main)


def test_pages_grow_when_transactions_are_light():
    async def main():
        async with setup(chain(3000, per_slot=1)) as s:
            assert len((await read(s.history)).signatures) == 3000
            full = [
                each
                for each in s.bench.server.requests
                if each["params"][1]["transactionDetails"] == "full"
            ]
            assert len(full) < 10

    run(main)


def test_a_page_that_repeats_itself_costs_requests_but_no_transaction():
    async def main():
        async with setup(chain(30)) as s:
            whole = s.chain.getTransactionsForAddress

            def repeating(wallet: str, options: Any) -> Any:
                page = whole(wallet, {k: v for k, v in options.items() if k != "paginationToken"})
                if options["transactionDetails"] == "full":
                    page["data"] = page["data"][:5]
                    page["paginationToken"] = f"1:{len(s.bench.server.requests)}"
                return page

            s.chain.getTransactionsForAddress = repeating
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


def test_transactions_out_of_the_lists_order_are_put_in_order():
    async def main():
        async with setup(chain(30)) as s:
            whole = s.chain.getTransactionsForAddress

            def shuffled(wallet: str, options: Any) -> Any:
                page = whole(wallet, options)
                if options["transactionDetails"] == "full":
                    page["data"] = page["data"][::-1]
                return page

            s.chain.getTransactionsForAddress = shuffled
            assert (await read(s.history)).signatures == expected(s.chain.transactions)

    run(main)


def test_an_answer_that_is_another_transaction_is_never_taken_for_the_one_asked_for():
    async def main():
        async with setup(chain(12), by_page=False) as s:
            whole = s.chain.getTransaction
            first = s.chain.transactions[0]["transaction"]["signatures"][0]
            s.chain.getTransaction = lambda signature, options: whole(first, options)
            with pytest.raises(UpstreamUnavailable, match="other transactions"):
                await read(s.history)

    run(main)


def listing_orders(s: Setup) -> list[str]:
    return [
        each["params"][1]["sortOrder"]
        for each in s.bench.server.requests
        if each["params"][1]["transactionDetails"] == "signatures"
    ]


def test_a_long_listing_is_read_from_both_ends_and_nothing_is_missing_where_they_meet():
    async def main():
        for count in (41, 95, 100, 101, 107):
            for per_slot in (1, 3, 12):
                async with setup(chain(count, per_slot)) as s:
                    s.chain.page = 10
                    got = await read(s.history)
                    assert got.signatures == expected(s.chain.transactions)
                    orders = listing_orders(s)
                    assert orders.count("asc") >= len(orders) // 3
                    assert len(orders) <= count // 10 + 4

    run(main)


def test_a_wallet_past_the_limit_is_listed_from_its_newest_end():
    async def main():
        async with setup(chain(500)) as s:
            s.chain.page = 10
            got = await read(s.history, limit=100)
            assert got.signatures == expected(s.chain.transactions)[-100:]
            assert got.listed[-1] == Listed(100, finished=True, truncated=True)
            assert max(each.signatures_found for each in got.listed) <= 100
            assert listing_orders(s).count("asc") <= 6

    run(main)


def test_a_listing_whose_other_end_fails_goes_on_without_it():
    async def main():
        async with setup(chain(200)) as s:
            s.chain.page = 10
            seen = 0

            def refuse(request: Any) -> Any:
                nonlocal seen
                options = request["params"][1]
                if options["sortOrder"] == "asc" and options["transactionDetails"] == "signatures":
                    seen += 1
                    return error(-32602) if seen == 3 else None
                return None

            s.chain.spoil = refuse
            assert (await read(s.history)).signatures == expected(s.chain.transactions)
            assert seen == 3
            assert listing_orders(s).count("desc") == 20

    run(main)


@pytest.mark.parametrize("by_page", [True, False])
def test_what_is_known_is_listed_and_not_fetched(by_page: bool) -> None:
    async def main():
        async with setup(chain(30), by_page) as s:
            known = {signed(f"sig{n}"): 100 + n // 3 for n in range(30) if n != 7}
            known[signed("sig20")] = 105  # it has moved since
            got = await read(s.history, known=known)
            assert got.signatures == [signed("sig7"), signed("sig20")]
            assert [each.signature for each in got.listed[-1].signatures] == [
                signed(f"sig{n}") for n in range(30)
            ]

    run(main)
