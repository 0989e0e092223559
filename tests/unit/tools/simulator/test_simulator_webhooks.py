"""Webhooks: how they are managed, what is delivered, and what happens when nobody takes it."""

import asyncio
import json
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

STRANGER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
SECRET = "Bearer let me in"
WAIT = 10  # seconds for a delivery that comes


class Receiver:
    """A server that keeps what is delivered and answers what it is told to, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.got: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue()
        self.headers: list[str | None] = []
        statuses_left = list(statuses)
        receiver = self

        class Handler(RequestHandler):
            def post(self) -> None:
                receiver.headers.append(self.request.headers.get("Authorization"))
                receiver.got.put_nowait(json.loads(self.request.body))
                self.set_status(statuses_left.pop(0) if statuses_left else 200)

        self._server = HTTPServer(Application([("/hook", Handler)], log_function=lambda _: None))

    async def __aenter__(self) -> "Receiver":
        sock, port = bind_unused_port()
        self._server.add_socket(sock)
        self.url = f"http://127.0.0.1:{port}/hook"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.stop()
        await self._server.close_all_connections()

    async def events(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += await asyncio.wait_for(self.got.get(), WAIT)
        return found


async def manage(client: Any, method: str, path: str = "", body: Any = None) -> Any:
    answer = await client.http.fetch(
        f"{client.url}/v0/webhooks{path}",
        method=method,
        body=None if body is None else json.dumps(body),
        raise_error=False,
        allow_nonstandard_methods=True,
    )
    return answer.code, json.loads(answer.body) if answer.body else None


def wished(url: str, *addresses: str, **more: Any) -> dict[str, Any]:
    return {
        "webhookURL": url,
        "accountAddresses": list(addresses),
        "transactionTypes": ["ANY"],
        "webhookType": "raw",
        **more,
    }


async def counted(client: Any, name: str, count: int) -> None:
    """Waits until the simulator has counted so many."""
    while (await client.call("simStatistics"))["webhooks"].get(name, 0) < count:
        pass


def test_a_webhook_is_created_listed_changed_and_deleted(served: Any) -> None:
    async def test(client: Any) -> None:
        body = wished("http://127.0.0.1:9/x", client.wallet, authHeader=SECRET)
        status, made = await manage(client, "POST", body=body)
        assert status == 200
        assert made.items() >= body.items()
        assert made["active"] is True
        name = f"/{made['webhookID']}"
        assert await manage(client, "GET") == (200, [made])
        assert await manage(client, "GET", name) == (200, made)
        status, changed = await manage(client, "PATCH", name, {"active": False})
        assert (status, changed) == (200, {**made, "active": False})
        whole = wished("http://127.0.0.1:9/y", STRANGER, webhookType="enhanced")
        status, replaced = await manage(client, "PUT", name, whole)
        assert status == 200
        assert replaced.items() >= whole.items()
        assert replaced["authHeader"] is None
        assert (await manage(client, "DELETE", name))[0] == 204
        assert await manage(client, "GET") == (200, [])
        for method, given in (("GET", None), ("DELETE", None), ("PUT", whole), ("PATCH", {})):
            assert (await manage(client, method, name, given))[0] == 404
        assert (await client.call("simStatistics"))["credits"]["webhook_call"] == 1100

    served(test)


@pytest.mark.parametrize(
    "change",
    [
        {"webhookURL": "ftp://x"},
        {"webhookURL": None},
        {"webhookType": "carrier pigeon"},
        {"accountAddresses": ["0OIl"]},
        {"accountAddresses": [STRANGER] * 100_001},
        {"txnStatus": "some"},
    ],
)
def test_a_wrong_webhook_is_refused(served: Any, change: dict[str, Any]) -> None:
    async def test(client: Any) -> None:
        body = {**wished("http://127.0.0.1:9/x", STRANGER), **change}
        status, answer = await manage(client, "POST", body=body)
        assert status == 400
        assert answer["error"]
        assert await manage(client, "GET") == (200, [])

    served(test)


def test_the_free_plan_has_five_and_the_key_is_asked_for(served: Any) -> None:
    async def test(client: Any) -> None:
        body = wished("http://127.0.0.1:9/x", STRANGER)
        assert (await manage(client, "POST", body=body))[0] == 401
        codes = [(await manage(client, "POST", "?api-key=k", body))[0] for _ in range(6)]
        assert codes == [200] * 5 + [400]

    served(test, plan="free", api_key="k")


def test_raw_transactions_are_delivered_with_the_secret(served: Any) -> None:
    async def test(client: Any) -> None:
        async with Receiver() as receiver:
            body = wished(receiver.url, client.wallet, authHeader=SECRET)
            await manage(client, "POST", body=body)
            new = await client.call("simAppend", client.wallet, 20)
            events = await receiver.events(20)
            assert [one["transaction"]["signatures"][0] for one in events] == new
            config = {"commitment": "confirmed", "maxSupportedTransactionVersion": 0}
            for event in events:
                event.pop("indexWithinBlock")
                signature = event["transaction"]["signatures"][0]
                assert event == await client.call("getTransaction", signature, config)
            assert receiver.headers == [SECRET]
            await counted(client, "deliveries", 1)
            statistics = await client.call("simStatistics")
            assert statistics["credits"]["webhook_event"] == 20

    served(test)


def test_only_what_was_asked_for_is_delivered(served: Any) -> None:
    async def test(client: Any) -> None:
        async with Receiver() as one, Receiver() as other, Receiver() as failed:
            await manage(client, "POST", body=wished(one.url, client.wallet, txnStatus="success"))
            await manage(client, "POST", body=wished(failed.url, client.wallet, txnStatus="failed"))
            for quiet in ({"active": False}, {"accountAddresses": [STRANGER]}):
                body = {**wished(other.url, client.wallet), **quiet}
                await manage(client, "POST", body=body)
            new = await client.call("simAppend", client.wallet, 60)
            truths = (await client.call("simTruth", client.wallet))[-60:]
            bad = [truth["signature"] for truth in truths if truth["kind"] == "failed"]
            assert bad
            # Deliveries are on their way at once: which arrives first isn't said.
            told = await failed.events(len(bad))
            assert {event["transaction"]["signatures"][0] for event in told} == set(bad)
            told = await one.events(60 - len(bad))
            good = {signature for signature in new if signature not in bad}
            assert {event["transaction"]["signatures"][0] for event in told} == good
            assert other.got.empty()

    served(test)


def test_what_is_not_taken_is_sent_again(served: Any) -> None:
    async def test(client: Any) -> None:
        async with Receiver(500, 404, 503) as receiver:
            await manage(client, "POST", body=wished(receiver.url, client.wallet))
            await client.call("simAppend", client.wallet, 1)
            tries = [await receiver.events(1) for _ in range(4)]
            assert tries[1:] == tries[:-1]
            await counted(client, "deliveries", 1)
            webhooks = (await client.call("simStatistics"))["webhooks"]
            assert webhooks == {"events": 1, "lost": 0, "attempts": 4, "deliveries": 1}

    served(test, webhook_pause=0.01)


@pytest.mark.parametrize(("statuses", "tries"), [((500,) * 4, 4), ((403,), 1)])
def test_what_is_never_taken_is_lost(served: Any, statuses: tuple[int, ...], tries: int) -> None:
    async def test(client: Any) -> None:
        async with Receiver(*statuses) as receiver:
            await manage(client, "POST", body=wished(receiver.url, client.wallet))
            await client.call("simAppend", client.wallet, 1)
            await counted(client, "lost", 1)
            assert receiver.got.qsize() == tries

    served(test, webhook_pause=0.01)


def test_a_receiver_that_is_not_there_loses_everything_and_holds_up_nobody(served: Any) -> None:
    async def test(client: Any) -> None:
        sock, port = bind_unused_port()
        sock.close()
        body = wished(f"http://127.0.0.1:{port}/", client.wallet)
        await manage(client, "POST", body=body)
        for _ in range(30):
            await client.call("simAppend", client.wallet, 1)
        await counted(client, "lost", 30)

    served(test, webhook_pause=0.01)


def test_faults_lose_and_double_deliveries(served: Any) -> None:
    async def test(client: Any) -> None:
        async with Receiver() as receiver:
            await manage(client, "POST", body=wished(receiver.url, client.wallet))
            fault = {"method": "webhook", "share": 1.0, "count": 1}
            await client.call("simFault", {**fault, "kind": "missing"})
            await client.call("simAppend", client.wallet, 1)
            await counted(client, "lost", 1)
            assert receiver.got.empty()
            await client.call("simFault", {**fault, "kind": "duplicate"})
            await client.call("simAppend", client.wallet, 1)
            one, other = await receiver.events(2)
            assert one == other

    served(test)


def test_enhanced_deliveries_leave_failed_ones_out(served: Any) -> None:
    async def test(client: Any) -> None:
        async with Receiver() as receiver:
            body = wished(receiver.url, client.wallet, webhookType="enhanced")
            await manage(client, "POST", body=body)
            await client.call("simAppend", client.wallet, 60)
            truths = (await client.call("simTruth", client.wallet))[-60:]
            good = {truth["signature"] for truth in truths if truth["kind"] != "failed"}
            assert len(good) < 60
            assert {one["signature"] for one in await receiver.events(len(good))} == good

    served(test)
