import asyncio
import gzip
import logging
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from scripted_rpc import KEY, Bench, Hang, Reply, Stalled, Truncated, bench, error, result, run
from tornado.httpclient import HTTPRequest

from wd_server.chain.call_limiter import MAX_TURN_SECONDS
from wd_server.chain.faults import QUOTA_SECONDS, BatchRefused, KeyRefused, MethodUnavailable
from wd_server.chain.rpc import (
    RETRY_SECONDS,
    RpcClient,
    upstream_http_client,
)
from wd_server.errors import (
    UpstreamError,
    UpstreamQuota,
    UpstreamRateLimit,
    UpstreamRejected,
    UpstreamUnavailable,
)


class Slot(msgspec.Struct):
    slot: int


RATE_LIMITED = {"error": {"code": -32429, "message": ""}}


def answers(by_place: dict[int, dict[str, Any]]) -> Callable[[Any], Reply]:
    """To a batch, by the place of the call in it; to the others none."""
    return lambda request: Reply(
        [{"id": request[place]["id"], **answer} for place, answer in by_place.items()]
    )


async def fails_with(kind: type[UpstreamError], b: Bench, *script: Any) -> UpstreamError:
    """Call once against the script (its last entry repeats) and return the error."""
    b.server.script = list(script[:-1])
    last = script[-1]
    b.server.otherwise = lambda request: last(request) if callable(last) else last
    with pytest.raises(kind) as caught:
        await b.rpc.call("getTransaction", ["sig"], Slot)
    return caught.value


def test_a_result_comes_back_as_the_type_asked_for():
    async def main():
        async with bench() as b:
            b.server.script = [result({"slot": 7, "unknown": [1, 2]})]
            assert await b.rpc.call("getTransaction", ["sig"], Slot) == Slot(7)
            assert b.server.requests == [
                {"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": ["sig"]}
            ]

    run(main)


def test_the_connection_is_kept_for_later_calls():
    async def main():
        async with bench() as b:
            b.server.otherwise = result({"slot": 7})
            for _ in range(5):
                await b.rpc.call("getTransaction", [], Slot)
            assert len(b.server.connections) == 1

    run(main)


def test_a_compressed_answer_is_asked_for_and_read():
    async def main():
        async with bench() as b:
            body = gzip.compress(b'{"id":1,"result":{"slot":9}}')
            b.server.script = [Reply(body, headers={"Content-Encoding": "gzip"})]
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(9)

    run(main)


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(b"slow down", 429),
        error(-32429, "rate limited"),
        error(-32429, "rate limited", status=429),
        Reply(b"", 500),
        Reply(b"bad gateway", 502),
        Reply(b"", 503),
        Reply(b"", 504),
        error(-32603, "internal error"),
        error(-32005, "node is behind"),
        error(-32009, "slot missing in long-term storage"),
        Reply(b"<html>not json</html>"),
        Reply(b'{"jsonrpc":"2.0","id":1,"resu'),
        Reply(b"\xff\xfe"),
        Reply(b'{"jsonrpc":"2.0","id":1}'),
        Reply(b'{"id":1,"result":{"slot":"not a number"}}'),
        Reply(b"[" * 5000),
        Truncated(b'{"jsonrpc":"2.0","id":1,"result":{"slot":7}}'),
    ],
)
def test_trouble_that_passes_is_sat_out_inside_the_call(trouble: Any):
    async def main():
        async with bench() as b:
            b.server.script = [trouble, trouble, result({"slot": 7})]
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(7)
            assert b.time.slept == [0.25, 0.5]

    run(main)


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Reply(b"", 429), UpstreamRateLimit),
        (error(-32429), UpstreamRateLimit),
        (Reply(b"", 503), UpstreamUnavailable),
        (error(-32603), UpstreamUnavailable),
        (Reply(b"not json"), UpstreamUnavailable),
        (Truncated(b'{"id":1,"result":{"slot":7}}'), UpstreamUnavailable),
    ],
)
def test_trouble_that_stays_ends_the_call_within_the_deadline(trouble: Any, kind: Any):
    async def main():
        async with bench() as b:
            raised = await fails_with(kind, b, trouble)
            assert raised.retry_after
            assert RETRY_SECONDS / 2 < sum(b.time.slept) <= RETRY_SECONDS

    run(main)


def test_retry_after_is_honoured_in_seconds_and_as_a_date():
    async def main():
        async with bench() as b:
            b.server.script = [
                Reply(b"", 429, {"Retry-After": "7"}),
                Reply(
                    b"",
                    503,
                    {
                        "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
                        "Retry-After": "Wed, 21 Oct 2015 07:28:11 GMT",
                    },
                ),
                result({"slot": 7}),
            ]
            await b.rpc.call("getTransaction", [], Slot)
            assert b.time.slept == [7.25, 11.5]

    run(main)


@pytest.mark.parametrize("nonsense", ["soon", "-5", "nan", "Wed, 99 Oct", "1, 2"])
def test_a_retry_after_that_is_nonsense_is_ignored(nonsense: str):
    async def main():
        async with bench() as b:
            b.server.script = [Reply(b"", 429, {"Retry-After": nonsense}), result({"slot": 7})]
            await b.rpc.call("getTransaction", [], Slot)
            assert b.time.slept == [0.25]

    run(main)


def test_a_retry_after_beyond_the_deadline_is_handed_on_instead_of_waited_for():
    async def main():
        async with bench() as b:
            raised = await fails_with(
                UpstreamRateLimit, b, Reply(b"", 429, {"Retry-After": "1000000"})
            )
            assert raised.retry_after == 3600
            assert b.time.slept == []

    run(main)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Reply({"jsonrpc": "2.0", "error": {"code": -32401, "message": "x"}}, 401), KeyRefused),
        (Reply(b"", 401), KeyRefused),
        (error(-32401), KeyRefused),
        (Reply(b"", 403), MethodUnavailable),
        (error(-32403), MethodUnavailable),
        (error(-32601), MethodUnavailable),
        (error(-32601, status=400), MethodUnavailable),
        (Reply(b"", 404), MethodUnavailable),
        (error(-32602), UpstreamRejected),
        (error(-32602, status=400), UpstreamRejected),
        (error(-32015), UpstreamRejected),
        (Reply(b"", 400), UpstreamRejected),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:1/"}), UpstreamRejected),
    ],
)
def test_a_refusal_is_raised_at_once_and_not_asked_again(refusal: Any, kind: Any):
    async def main():
        async with bench() as b:
            raised = await fails_with(kind, b, refusal)
            assert isinstance(raised, UpstreamRejected)
            assert len(b.server.requests) == 1

    run(main)


@pytest.mark.parametrize(
    "quota",
    [
        Reply(b"max usage reached"),
        Reply(b"Max usage reached.", 429),
        error(-32429, "max usage reached"),
        error(-32429, "max usage reached", status=429),
        Reply(b'{"message": "max usage reached"}'),
    ],
)
def test_an_exhausted_quota_is_told_and_then_fails_fast(quota: Any):
    async def main():
        async with bench() as b:
            raised = await fails_with(UpstreamQuota, b, quota)
            assert raised.retry_after == QUOTA_SECONDS
            b.time.now += 100
            raised = await fails_with(UpstreamQuota, b, quota)
            assert raised.retry_after == QUOTA_SECONDS - 100
            assert len(b.server.requests) == 1
            assert b.rpc.statistics().quota_exhausted

    run(main)


def test_a_renewed_quota_is_noticed_by_one_probe_after_a_long_while():
    async def main():
        async with bench() as b:
            await fails_with(UpstreamQuota, b, Reply(b"max usage reached"))
            b.time.now += QUOTA_SECONDS
            b.server.otherwise = result({"slot": 7})
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(7)
            assert not b.rpc.statistics().quota_exhausted

    run(main)


def test_the_words_of_an_exhausted_quota_inside_data_mean_nothing():
    async def main():
        async with bench() as b:
            b.server.script = [result("max usage reached")]
            assert await b.rpc.call("getMemo", [], str) == "max usage reached"

    run(main)


@pytest.mark.parametrize("trouble", [Hang(), Stalled(b'{"id":1,"result":{"slot":1}}')])
def test_a_request_that_hangs_is_given_up_and_asked_again(trouble: Any):
    async def main():
        async with bench(request_timeout=0.05) as b:
            b.server.script = [trouble, result({"slot": 7})]
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(7)
            assert b.rpc.statistics().calls["getTransaction", "unavailable"] == 1
            await b.server.dropped.wait()

    run(main)


def test_an_upstream_that_nobody_listens_at_is_unavailable():
    async def main():
        async with bench() as b:
            rpc = RpcClient(
                f"http://127.0.0.1:1/?api-key={KEY}",
                b.rpc._http,
                rpc_per_second=1e6,
                das_per_second=1e6,
                clock=b.time.clock,
                sleep=b.time.sleep,
            )
            with pytest.raises(UpstreamUnavailable):
                await rpc.call("getTransaction", [], Slot)

    run(main)


def test_an_answer_past_the_size_limit_is_not_held_in_memory():
    async def main():
        async with bench() as b:
            b.rpc._http.max_body_size = 1000
            await fails_with(UpstreamUnavailable, b, result("x" * 5000))

    run(main)


@pytest.mark.parametrize("trouble", [Hang(), Stalled(b"x" * 300_000)])
def test_a_cancelled_call_takes_its_request_with_it(trouble: Any):
    async def main():
        async with bench() as b:
            b.server.script = [trouble]
            task = asyncio.create_task(b.rpc.call("getTransaction", [], Slot))
            await b.server.hanging.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await b.server.dropped.wait()

    run(main)


def test_results_of_a_batch_are_joined_by_id_in_any_order():
    async def main():
        async with bench() as b:
            b.server.script = [
                lambda request: Reply(
                    [{"id": each["id"], "result": each["params"][0]} for each in request[::-1]]
                )
            ]
            assert await b.rpc.batch("echo", [[n] for n in range(5)], int) == [0, 1, 2, 3, 4]

    run(main)


def test_a_null_in_a_batch_is_an_answer():
    async def main():
        async with bench() as b:
            b.server.script = [answers({0: {"result": None}, 1: {"result": 5}})]
            assert await b.rpc.batch("echo", [[], []], int | None) == [None, 5]

    run(main)


def test_only_what_failed_in_a_batch_is_asked_again():
    async def main():
        async with bench() as b:
            b.server.script = [
                answers({0: {"result": 0}, 1: RATE_LIMITED, 3: {"result": 3}}),
                answers({0: {"result": 1}, 1: {"result": 2}}),
            ]
            assert await b.rpc.batch("echo", [[n] for n in range(4)], int) == [0, 1, 2, 3]
            assert [each["params"] for each in b.server.requests[1]] == [[1], [2]]
            assert b.rpc.statistics().credits == {"echo": 4}

    run(main)


@pytest.mark.parametrize(
    "wrong", [None, 0, 77, -1, "1", 1.0, True, [], {}, 2**70], ids=lambda each: repr(each)[:9]
)
def test_an_answer_to_another_request_is_none(wrong: Any):
    async def main():
        async with bench() as b:
            b.server.script = [Reply({"id": wrong, "result": {"slot": 6}}), result({"slot": 7})]
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(7)
            assert b.rpc.statistics().calls["getTransaction", "unavailable"] == 1

    run(main)


def test_an_error_in_answer_to_another_request_is_no_refusal():
    async def main():
        async with bench() as b:
            refusal = {"id": 77, "error": {"code": -32602, "message": "no"}}
            b.server.script = [Reply(refusal), result({"slot": 7})]
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(7)

    run(main)


def test_no_two_requests_have_one_id_so_that_a_late_answer_is_none():
    async def main():
        async with bench() as b:
            late: list[Any] = []

            def first(request: Any) -> Reply:
                late.append(Reply({"id": request["id"], "result": {"slot": 6}}))
                return Reply(b"", 503)

            b.server.script = [first, lambda _: late[0], result({"slot": 7})]
            assert await b.rpc.call("getTransaction", [], Slot) == Slot(7)
            await_batch = answers({0: {"result": 0}, 1: {"result": 1}})
            b.server.script = [await_batch, await_batch]
            for _ in range(2):
                await b.rpc.batch("echo", [[], []], int)
            requests = b.server.requests
            ids = [each["id"] for r in requests for each in (r if isinstance(r, list) else [r])]
            assert len(ids) == len(set(ids)) == 7

    run(main)


ODD_ANSWERS: list[Any] = [
    {"id": 1_000_000, "result": 9},
    {"id": "1", "result": 9},
    {"id": None, "result": 9},
    {"id": [], "result": 9},
    {"result": 9},
    {"id": 2**70, "error": {"code": -32602}},
]


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_an_answer_in_a_batch_that_nobody_asked_for_harms_no_other(odd: Any):
    async def main():
        async with bench() as b:

            def mixed(request: Any) -> Reply:
                right = [{"id": each["id"], "result": each["params"][0]} for each in request]
                return Reply([odd, *right, odd])

            b.server.script = [mixed]
            assert await b.rpc.batch("echo", [[n] for n in range(3)], int) == [0, 1, 2]

    run(main)


def test_of_two_answers_to_one_request_none_counts_and_it_is_asked_again():
    async def main():
        async with bench() as b:

            def doubled(request: Any) -> Reply:
                right = [{"id": each["id"], "result": each["params"][0]} for each in request]
                return Reply([*right, {"id": request[1]["id"], "result": 9}])

            b.server.script = [doubled, answers({0: {"result": 1}})]
            assert await b.rpc.batch("echo", [[n] for n in range(3)], int) == [0, 1, 2]
            assert [each["params"] for each in b.server.requests[1]] == [[1]]

    run(main)


def test_an_answer_in_a_batch_that_says_nothing_is_asked_for_again_without_the_rest():
    async def main():
        async with bench() as b:
            b.server.script = [answers({0: {"result": 0}, 1: {}}), answers({0: {"result": 1}})]
            assert await b.rpc.batch("echo", [[n] for n in range(2)], int) == [0, 1]
            assert [each["params"] for each in b.server.requests[1]] == [[1]]

    run(main)


@pytest.mark.parametrize("code", [10**300, -(10**300), 2**31, 1.5, "no", None])
def test_the_code_of_an_error_is_repeated_only_if_it_is_one(code: Any):
    async def main():
        async with bench() as b:
            raised = await fails_with(
                UpstreamUnavailable, b, Reply({"id": None, "error": {"code": code}})
            )
            assert "broken answer" in raised.message

    run(main)


@pytest.mark.parametrize(
    "refusal", [error(-32600), error(-32602, status=400), Reply(b"", 413), Reply(b"", 403)]
)
def test_a_batch_that_is_refused_as_a_whole_says_so(refusal: Any):
    async def main():
        async with bench() as b:
            b.server.script = [refusal]
            with pytest.raises(BatchRefused):
                await b.rpc.batch("echo", [[], []], int)

    run(main)


def test_a_refused_call_in_a_batch_is_not_a_refused_batch():
    async def main():
        async with bench() as b:
            b.server.script = [
                answers({0: {"result": 0}, 1: {"error": {"code": -32015, "message": ""}}})
            ]
            with pytest.raises(UpstreamRejected) as caught:
                await b.rpc.batch("echo", [[], []], int)
            assert not isinstance(caught.value, BatchRefused)

    run(main)


def test_a_refused_key_in_a_batch_is_a_refused_key():
    async def main():
        async with bench() as b:
            b.server.script = [Reply(b"", 401)]
            with pytest.raises(KeyRefused):
                await b.rpc.batch("echo", [[], []], int)

    run(main)


def test_calls_keep_to_the_rate_of_their_group():
    async def main():
        async with bench(rate=10, das_rate=2) as b:
            b.server.otherwise = result(1)
            for _ in range(4):
                await b.rpc.call("getTransaction", [], int)
            assert b.time.slept == pytest.approx([0.1] * 2, abs=0.1)
            b.time.slept.clear()
            for _ in range(3):
                await b.rpc.call("getAssetBatch", [], int)
            assert b.time.slept == pytest.approx([0.5, 0.5])

    run(main)


def test_a_rate_limit_takes_back_what_could_have_been_sent_at_once():
    async def main():
        async with bench(rate=100) as b:
            await fails_with(UpstreamRateLimit, b, Reply(b"", 429, {"Retry-After": "3600"}))
            b.server.otherwise = result(1)
            await b.rpc.call("getTransaction", [], int)
            assert b.time.slept == pytest.approx([0.01])

    run(main)


def test_a_call_that_is_cancelled_while_it_waits_gives_its_turn_back():
    async def main():
        async with bench(rate=1) as b:
            b.server.otherwise = result(1)
            await b.rpc.call("getTransaction", [], int)
            b.time.hold = True
            task = asyncio.create_task(b.rpc.call("getTransaction", [], int))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            b.time.hold = False
            b.time.slept.clear()
            await b.rpc.call("getTransaction", [], int)
            assert b.time.slept == pytest.approx([1.0])

    run(main)


def test_a_call_that_would_wait_too_long_for_its_turn_is_refused():
    async def main():
        async with bench(rate=0.001) as b:
            b.server.otherwise = result(1)
            await b.rpc.call("getTransaction", [], int)
            with pytest.raises(UpstreamRateLimit) as caught:
                await b.rpc.call("getTransaction", [], int)
            assert caught.value.retry_after > MAX_TURN_SECONDS
            with pytest.raises(UpstreamRateLimit) as again:
                await b.rpc.call("getTransaction", [], int)
            assert again.value.retry_after == caught.value.retry_after
            assert len(b.server.requests) == 1

    run(main)


def test_statistics_tell_calls_by_outcome_and_credits_by_method():
    async def main():
        async with bench() as b:
            b.server.script = [Reply(b"", 429), Reply(b"", 503), result(1), error(-32602)]
            await b.rpc.call("getAsset", [], int)
            with pytest.raises(UpstreamRejected):
                await b.rpc.call("getAsset", [], int)
            b.server.script = [result(1), Reply(b"max usage reached")]
            await b.rpc.call("getTransactionsForAddress", [], int, cost=lambda _: 50)
            with pytest.raises(UpstreamQuota):
                await b.rpc.call("getBlock", [], int)
            statistics = b.rpc.statistics()
            assert statistics.calls == {
                ("getAsset", "rate_limited"): 1,
                ("getAsset", "unavailable"): 1,
                ("getAsset", "retried"): 2,
                ("getAsset", "ok"): 1,
                ("getAsset", "rejected"): 1,
                ("getTransactionsForAddress", "ok"): 1,
                ("getBlock", "quota"): 1,
            }
            assert statistics.credits == {"getAsset": 10, "getTransactionsForAddress": 50}

    run(main)


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(f"Invalid API key {KEY}".encode(), 401),
        Reply({"error": {"code": -32602, "message": f"bad {KEY}"}}, 400),
        Reply(f"no {KEY}".encode(), 503),
        Reply(f"max usage reached for {KEY}".encode()),
        Reply(f'{{"id":1,"result":"{KEY}"}}'.encode()),
        Hang(),
    ],
)
def test_the_key_is_in_no_error_and_no_log_line(trouble: Any, caplog: pytest.LogCaptureFixture):
    async def main():
        async with bench(request_timeout=0.02) as b:
            raised = await fails_with(UpstreamError, b, trouble)
            chain: BaseException | None = raised
            while chain is not None:
                assert KEY not in "".join(traceback.format_exception(chain))
                assert KEY not in repr(chain.args)
                chain = chain.__cause__ or chain.__context__
            assert KEY not in repr(b.rpc)
            assert KEY in b.server.paths[0]

    with caplog.at_level(logging.DEBUG):
        run(main)
    assert "tornado.curl_httpclient" in {record.name for record in caplog.records}
    assert KEY not in caplog.text


def test_tornado_never_holds_the_url_with_the_key(monkeypatch: pytest.MonkeyPatch):
    async def main():
        async with bench() as b:
            seen: list[HTTPRequest] = []
            fetch = b.rpc._http.fetch
            monkeypatch.setattr(
                b.rpc._http, "fetch", lambda r, **k: (seen.append(r), fetch(r, **k))[1]
            )
            b.server.otherwise = result({"slot": 7})
            await b.rpc.call("getTransaction", [], Slot)
            assert KEY not in repr(vars(seen[0]))

    run(main)


def test_the_http_client_is_bounded():
    async def main():
        client = upstream_http_client()
        assert len(client._curls) == 16
        assert client.max_body_size == 64 * 1024 * 1024
        client.close()

    run(main)
