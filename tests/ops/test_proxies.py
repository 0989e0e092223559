"""What a reverse proxy does to streams, with the files of conf/ in front of real servers."""

import json
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from time import monotonic, sleep

import pytest
from eventsource import EventSource
from http2 import Http2, Request
from processes import PATIENCE, ROOT, Server, Simulator, free_port, server, simulator
from program import Program, running
from proxies import CONF, Haproxy, Nginx, Proxy
from wd_client import Complete, stream_sync

from wd_server.config.settings import Settings

# Transactions of the wallets: what is followed, and small ones.
SIZE = 60
STREAMS = 100
# curl's exit codes for a body that ended before its time: over HTTP/1.1, and over HTTP/2.
CUT = {18, 92}
RETRY = re.compile(rb"^retry: [1-3]\d{3}$", re.M)
KEY = "wd_0123456789abcdefghijklmnopqrstuv"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
SECURITY = {
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-xss-protection": "1; mode=block",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", f"--wallets={SIZE}x32") as started:
        yield started


@pytest.fixture(scope="module")
def wallets(chain: Simulator) -> Iterator[str]:
    """One for each test."""
    return (address for address, _ in chain.wallets)


@pytest.fixture
def wallet(wallets: Iterator[str]) -> str:
    return next(wallets)


@pytest.fixture(scope="module")
def srv(chain: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with instance(folder, chain) as started:
        yield started


@pytest.fixture(scope="module", params=[Nginx, Haproxy], ids=lambda kind: kind.program)
def kind(request: pytest.FixtureRequest) -> type[Proxy]:
    proxy: type[Proxy] = request.param
    return proxy


@pytest.fixture(scope="module")
def proxy(
    kind: type[Proxy], srv: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    with running(kind(tmp_path_factory.mktemp("proxy"), [srv.port])) as started:
        yield started


def instance(folder: Path, chain: Simulator, **settings: object) -> AbstractContextManager[Server]:
    given = {"POLL_SECONDS": 1, "TRUSTED_PROXIES": "127.0.0.1", **settings}
    return server(folder, chain.url, files=None, **given)


def stream_path(wallet: str, query: str = "") -> str:
    return f"/v4/wallet/{wallet}/stream" + (f"?{query}" if query else "")


def next_trade(chain: Simulator, wallet: str) -> str:
    """The wallet does something that is a trade; its signature."""
    while not (signatures := chain.append(wallet, 1)):
        pass
    return signatures[0]


def come_back(client: Http2, path: str, last_event_id: str) -> Request:
    """As an EventSource does, again and again. A proxy that probes its instances needs a second."""
    deadline = monotonic() + PATIENCE
    while not (stream := client.fetch_first(path, {"last-event-id": last_event_id})).events:
        assert monotonic() < deadline
        sleep(0.05)
    return stream


def test_a_hundred_streams_on_one_connection_get_each_event_before_the_next_is_made(
    chain: Simulator, srv: Server, proxy: Proxy, wallet: str
) -> None:
    """Buffering anywhere on the way would keep an event until the next one comes, which never
    does. How long each was on the way is compared with a connection to the server itself."""
    delays = []
    with (
        EventSource(srv.stream(wallet, "follow=true")) as direct,
        Http2(proxy.connect("h2")) as client,
    ):
        direct.until("complete")
        streams = [client.get(stream_path(wallet, "follow=true")) for _ in range(STREAMS)]
        client.read_until(lambda: all(each.named("complete") for each in streams))
        assert {each.status for each in streams} == {200}
        for _ in range(5):
            wanted = [(each, len(each.trades)) for each in streams]
            signature = next_trade(chain, wallet)
            direct.until("trade")
            at = monotonic()
            client.read_until(lambda: all(len(each.trades) > n for each, n in wanted))  # noqa: B023
            for each, number in wanted:
                came, trade = each.trades[number]
                assert trade.data["signature"] == signature
                delays.append(came - at)
        srv.wait_for("active_streams", STREAMS + 1)
    ordered = sorted(delays)
    print(
        f"{proxy.program}: {len(ordered)} events after the server's own: "
        f"median {statistics.median(ordered) * 1000:.1f} ms, "
        f"99 % {ordered[int(len(ordered) * 0.99)] * 1000:.1f} ms, last {ordered[-1] * 1000:.1f} ms"
    )


def test_an_ordinary_client_reads_line_by_line(chain: Simulator, proxy: Proxy, wallet: str) -> None:
    """curl, over HTTP/1.1: the head and `connected` are there while the stream goes on."""
    url = proxy.url + stream_path(wallet, "follow=true")
    command = ["curl", "-sSN", "--http1.1", "--cacert", str(proxy.certificate), url]
    curl = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert curl.stdout is not None
    try:
        for line in curl.stdout:
            if line == "event: complete\n":
                break
        for _ in range(3):
            signature = next_trade(chain, wallet)
            assert any(signature in line for line in iter(curl.stdout.readline, ""))
    finally:
        curl.kill()
        curl.wait(PATIENCE)
        curl.stdout.close()


def test_an_end_stays_an_end_on_the_way_and_a_cut_a_cut(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    """Over HTTP/2 HAProxy 2.6 ends what was cut, as docs/proxy.md says."""
    versions = ["--http1.1", "--http2"] if kind is Nginx else ["--http1.1"]
    with (
        instance(tmp_path / "served", chain) as srv,
        running(kind(tmp_path / "proxy", [srv.port])) as proxy,
        ExitStack() as stack,
    ):
        for version in versions:
            with _curl(proxy, wallet, version) as whole:
                _read_history(whole)
                whole.communicate(timeout=PATIENCE)
            assert whole.returncode == 0
        cut = [stack.enter_context(_curl(proxy, wallet, each, "follow=true")) for each in versions]
        for curl in cut:
            _read_history(curl)
        srv.kill()
        assert {curl.wait(PATIENCE) for curl in cut} <= CUT


def _curl(proxy: Proxy, wallet: str, version: str, query: str = "") -> "subprocess.Popen[str]":
    url = proxy.url + stream_path(wallet, query)
    command = ["curl", "-sN", version, "--cacert", str(proxy.certificate), url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _read_history(curl: "subprocess.Popen[str]") -> None:
    assert curl.stdout is not None
    assert "event: complete\n" in iter(curl.stdout.readline, "")


def test_a_client_that_leaves_is_seen_while_nothing_is_written(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    """One of two streams of a connection goes, then the connection. No heartbeat is due meanwhile
    that could tell, so the proxy did."""
    with (
        instance(tmp_path / "served", chain, SSE_KEEPALIVE_INTERVAL=20) as srv,
        running(kind(tmp_path / "proxy", [srv.port])) as proxy,
        Http2(proxy.connect("h2")) as client,
    ):
        first, second = (client.get(stream_path(wallet, "follow=true")) for _ in range(2))
        client.read_until(lambda: bool(first.named("complete") and second.named("complete")))
        took = []
        for number, leave in enumerate((lambda: client.cancel(first), client.socket.close), 1):
            left = monotonic()
            leave()
            srv.wait_for('streams_closed_total{reason="client_gone"}', number)
            took.append(monotonic() - left)
        written = {each["stream_id"]: each["events"] for each in srv.logged("stream closed")}
    for request in (first, second):
        assert written[request.headers["x-stream-id"]] == len(request.events)
    print(f"{kind.program}: seen after {', '.join(f'{each * 1000:.0f} ms' for each in took)}")


def test_heartbeats_keep_a_stream_open_beyond_the_proxys_patience(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with instance(tmp_path / "served", chain, SSE_KEEPALIVE_INTERVAL=1) as srv:
        proxy = kind(tmp_path / "proxy", [srv.port])
        proxy.be_patient(2)
        with running(proxy), Http2(proxy.connect("h2")) as client:
            stream = client.get(stream_path(wallet, "follow=true"))
            client.read_until(lambda: len(stream.named("heartbeat")) == 4)
            with srv.stopped():  # one that hangs is given up, and the client may go elsewhere
                client.read_until(lambda: stream.ended)


def test_the_proxys_patience_is_three_heartbeats_of_the_longest_interval() -> None:
    text = (CONF / "nginx/wd-server/proxy.conf").read_text()
    (seconds,) = re.findall(r"^proxy_read_timeout (\d+)s;", text, re.M)
    page = (CONF.parent / "docs/settings.md").read_text()
    (longest,) = re.findall(r"`SSE_KEEPALIVE_INTERVAL` .* from 1 to (\d+) ", page)
    assert 3 * int(longest) < int(seconds)
    assert Settings.from_environment({}).sse_keepalive_interval <= int(longest)


def test_a_restart_is_a_stream_that_says_when_to_come_back_and_loses_nothing(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with (
        instance(tmp_path / "served", chain) as srv,
        running(kind(tmp_path / "proxy", [srv.port])) as proxy,
        Http2(proxy.connect("h2")) as client,
    ):
        before = client.get(stream_path(wallet, "follow=true"))
        client.read_until(lambda: bool(before.named("complete")))
        last = before.named("complete")[0][1].id
        assert last is not None
        srv.kill()
        client.read_until(lambda: before.ended)

        for path in (stream_path(wallet), f"/v4/stream?wallet={wallet}"):
            away = client.fetch(path)
            assert (away.status, away.headers["content-type"]) == (200, "text/event-stream")
            assert RETRY.search(away.body)
        assert client.fetch(f"/v4/wallet/{wallet}").status == 503
        for method in ("HEAD", "POST", "DELETE"):
            refused = client.fetch(stream_path(wallet), {":method": method})
            assert refused.status == 503, method
            assert not refused.headers["content-type"].startswith("text/event-stream")

        signature = next_trade(chain, wallet)
        srv.start()
        after = come_back(client, stream_path(wallet, "follow=true"), last)
        client.read_until(lambda: bool(after.trades))
        assert after.named("connected")[0][1].data["resumed"] is True
        assert after.trades[0][1].data["signature"] == signature


def test_a_server_without_room_is_a_stream_that_says_when_to_come_back(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with (
        instance(tmp_path / "served", chain, MAX_STREAMS=1) as srv,
        running(kind(tmp_path / "proxy", [srv.port])) as proxy,
        Http2(proxy.connect("h2")) as client,
    ):
        first = client.get(stream_path(wallet, "follow=true"))
        client.read_until(lambda: bool(first.events))
        second = client.fetch(stream_path(wallet))
        assert second.status == 200
        assert RETRY.search(second.body)


def test_nginx_answers_for_the_server_as_that_does_itself(tmp_path: Path) -> None:
    """In the shape of the contract, and for pages of the origins that may read it."""
    proxy = Nginx(tmp_path, [1])
    proxy.name_origin("https://app.example")
    with running(proxy), Http2(proxy.connect("h2")) as client:
        stream = client.fetch("/v4/stream", {"origin": "https://app.example"})
        ((_, event),) = stream.events
        assert (event.name, event.data["code"], event.id) == ("error", "DRAINING", None)
        assert event.data.keys() == {"error", "code", "details", "timestamp"}
        assert event.retry is not None
        assert 1000 <= event.retry <= 3000
        assert stream.headers["access-control-allow-origin"] == "https://app.example"
        other = client.fetch("/v4/stream", {"origin": "https://app.example.net"})
        assert "access-control-allow-origin" not in other.headers
        problem = client.fetch("/v4/streams")
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.headers["retry-after"] == "1"
        assert json.loads(problem.body)["code"] == "DRAINING"


def test_what_the_server_refuses_comes_through_as_it_is(proxy: Proxy, wallet: str) -> None:
    with Http2(proxy.connect("h2")) as client:
        answer = client.fetch(stream_path(wallet), {"x-api-key": KEY})
        assert (answer.status, json.loads(answer.body)["code"]) == (401, "INVALID_KEY")
        answer = client.fetch(stream_path("nonsense"), {"accept": "application/json"})
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "INVALID_WALLET")


def test_every_answer_has_each_security_header_once(
    kind: type[Proxy], proxy: Proxy, wallet: str, tmp_path: Path
) -> None:
    with Http2(proxy.connect("h2")) as client:
        paths = ("/health", stream_path(wallet), "/nothing", "/metrics")
        answers = [client.fetch(path) for path in paths]
    with running(kind(tmp_path / "alone", [1])) as alone, Http2(alone.connect("h2")) as client:
        answers += [client.fetch(path) for path in ("/v4/stream", "/health")]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY, answer.headers
        for name in SECURITY:
            assert answer.names.count(name) == 1


def test_no_credential_reaches_a_log(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    """Neither when all is well, nor when the server is away, refuses, or the request is broken."""
    with (
        instance(tmp_path / "served", chain) as srv,
        running(kind(tmp_path / "proxy", [srv.port])) as proxy,
    ):
        paths = [
            stream_path(wallet, f"api_key={KEY}"),
            stream_path(wallet, f"access_token={TOKEN}"),
            f"/v4/stream?wallet={wallet}&api_key={KEY}&batch=5",
            f"/v4/streams?api_key={KEY}",
            f"/metrics?api_key={KEY}",
        ]
        headers = {"referer": f"https://x.example/?access_token={TOKEN}", "x-api-key": KEY}
        for _ in ("there", "away"):
            with Http2(proxy.connect("h2")) as client:
                for path in paths:
                    client.fetch(path, headers)
            with proxy.connect("http/1.1") as raw:
                raw.sendall(f"GET /?api_key={KEY} HTTP/1.1\r\nHost : x\r\n\r\n".encode())
                while raw.recv(65536):
                    pass
            srv.kill()
        proxy.stop()
        logs = proxy.logs()
    assert logs.count('"status"') == 2 * len(paths) + 2
    assert '"path":"/v4/streams"' in logs
    assert KEY not in logs
    assert TOKEN not in logs


@pytest.mark.parametrize("path", ["/metrics", "/%6detrics", "//metrics", "/metrics?", "/./metrics"])
def test_the_metrics_are_closed_to_the_world(proxy: Proxy, path: str) -> None:
    with Http2(proxy.connect("h2")) as client:
        answer = client.fetch(path, {"x-forwarded-for": "127.0.0.1"})
    assert answer.status in (403, 404)
    assert b"walletdoctor" not in answer.body


def test_the_server_learns_the_clients_address_and_nothing_else(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    """Two addresses have one stream each, whatever they say of themselves."""
    with (
        instance(tmp_path / "served", chain, RATE_LIMIT_STREAMING_CONNECTIONS=1) as srv,
        running(kind(tmp_path / "proxy", [srv.port])) as proxy,
    ):
        path = stream_path(wallet, "follow=true")
        with (
            Http2(proxy.connect("h2", source="127.0.0.7")) as one,
            Http2(proxy.connect("h2", source="127.0.0.8")) as other,
        ):
            for client in (one, other):
                stream = client.get(path)
                client.read_until(lambda stream=stream: bool(stream.status))  # type: ignore[misc]
                assert stream.status == 200
                for lie in ("10.9.9.9", "127.0.0.1, 10.9.9.9"):
                    answer = client.fetch(stream_path(wallet), {"x-forwarded-for": lie})
                    assert json.loads(answer.body)["code"] == "TOO_MANY_STREAMS"


def test_an_address_that_floods_is_told_so_and_others_are_served(srv: Server, proxy: Proxy) -> None:
    with Http2(proxy.connect("h2", source="127.0.0.9")) as flood:
        for _ in range(8):
            asked = [flood.get("/health/live") for _ in range(100)]
            flood.read_until(lambda: all(each.ended for each in asked))  # noqa: B023
        answers = list(flood.requests.values())
        with Http2(proxy.connect("h2", source="127.0.0.10")) as other:
            assert other.fetch("/health/live").status == 200
    refused = [each for each in answers if each.status == 429]
    assert {each.status for each in answers} == {200, 429}
    assert json.loads(refused[0].body)["code"] == "RATE_LIMIT"
    assert refused[0].headers["retry-after"] == "1"


@pytest.fixture
def addresses() -> Iterator[Sequence[str]]:
    """Three of this machine's own, of the range for documentation (RFC 3849): two of them share 64
    bits."""
    if os.geteuid() != 0 or shutil.which("ip") is None or not Path("/proc/net/if_inet6").exists():
        pytest.skip("an address of one's own takes root, iproute2 and IPv6")
    network = f"2001:db8:{os.getpid() & 0xFFFF:x}"
    found = [f"{network}:1::1", f"{network}:1:ffff::2", f"{network}:2::1"]
    for address in found:
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    yield found
    for address in found:
        subprocess.run(["ip", "address", "delete", f"{address}/128", "dev", "lo"], check=True)


def test_an_ipv6_customer_is_one_whatever_addresses_it_takes(
    srv: Server, proxy: Proxy, addresses: Sequence[str]
) -> None:
    first, second, other = addresses
    with Http2(proxy.connect("h2", source=first)) as flood:
        for _ in range(8):
            asked = [flood.get("/health/live") for _ in range(100)]
            flood.read_until(lambda: all(each.ended for each in asked))  # noqa: B023
        assert {each.status for each in flood.requests.values()} == {200, 429}
    for source, is_refused in ((second, True), (other, False)):
        with Http2(proxy.connect("h2", source=source)) as client:
            asked = [client.get("/health/live") for _ in range(100)]
            client.read_until(lambda: all(each.ended for each in asked))  # noqa: B023
            assert (429 in {each.status for each in asked}) is is_refused


class Counted(Program):
    """An nginx that answers with whom it would limit, on a socket for both kinds of addresses."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "said")
        self.port = free_port()
        text = (CONF / "nginx/conf.d/wd-server.conf").read_text()
        (shipped,) = re.findall(r"^map \$binary_remote_addr .*?^}", text, re.M | re.S)
        (folder / "nginx.conf").write_text(
            f"pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off; {shipped}\n"
            f"server {{ listen [::]:{self.port} ipv6only=off; return 200 $wd_customer; }} }}"
        )
        configured = ["-p", str(folder), "-c", str(folder / "nginx.conf")]
        self.command = ["nginx", *configured, "-e", "stderr", "-g", "daemon off;"]

    def is_ready(self) -> bool:
        with suppress(ConnectionRefusedError):
            return bool(self.ask("::1"))
        return False

    def ask(self, host: str, source: str = "") -> bytes:
        connection = HTTPConnection(host, self.port, PATIENCE, source_address=(source, 0))
        with closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().read()


def test_nginx_counts_an_ipv4_address_or_the_half_of_an_ipv6_address(
    tmp_path: Path, addresses: Sequence[str]
) -> None:
    with running(Counted(tmp_path)) as nginx:
        assert nginx.ask("127.0.0.1", "127.10.0.13") == bytes([127, 10, 0, 13])
        assert nginx.ask("::1") == bytes(8)
        for address in addresses:
            assert nginx.ask(address, address) == ip_address(address).packed[:8]


def test_streams_go_to_the_instance_with_the_fewest_and_leave_one_that_goes(
    kind: type[Proxy], chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with (
        instance(tmp_path / "one", chain) as one,
        instance(tmp_path / "two", chain) as two,
        running(kind(tmp_path / "proxy", [one.port, two.port])) as proxy,
        Http2(proxy.connect("h2")) as client,
    ):

        def active() -> tuple[float, float]:
            return one.metrics()["active_streams"], two.metrics()["active_streams"]

        def open_stream() -> Request:
            stream = client.get(stream_path(wallet, "follow=true"))
            client.read_until(lambda: bool(stream.events))
            assert stream.events[0][1].name == "connected"
            return stream

        streams: dict[float, list[Request]] = {0: [], 1: []}
        for _ in range(6):
            before = active()[0]
            stream = open_stream()
            streams[active()[0] - before].append(stream)
        assert active() == (3, 3)
        for stream in streams[1]:
            client.cancel(stream)
        one.wait_for("active_streams", 0)
        streams[1] = [open_stream() for _ in range(3)]
        assert active() == (3, 3)
        one.stop()
        client.read_until(lambda: all(each.ended for each in streams[1]))
        for _ in range(3):
            open_stream()
        assert two.metrics()["active_streams"] == 6


def plain(proxy: Proxy, target: str, host: str = "wd-server.example") -> tuple[int, str, str]:
    """Status, Location and body of what is asked without TLS."""
    connection = HTTPConnection("127.0.0.1", proxy.plain_port, timeout=PATIENCE)
    with closing(connection):
        connection.request("GET", target, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location", ""), answer.read().decode()


@pytest.mark.parametrize("host", ["wd-server.example", "evil.example", "evil.example:80"])
def test_plain_http_is_sent_to_the_public_name_with_tls(proxy: Proxy, host: str) -> None:
    for target in ("/", "/v4/stream?wallet=a&batch=5", "/v4/stream?q=api_key"):
        status, location, _ = plain(proxy, target, host)
        assert (status, location) == (308, f"https://wd-server.example{target}")


@pytest.mark.parametrize(
    "query",
    [
        f"api_key={KEY}",
        f"wallet=a&api_key={KEY}",
        f"wallet=a&API_KEY={KEY}",
        f"wallet=a&api%5Fkey={KEY}",
        f"wallet=a&%61pi_key={KEY}&batch=5",
        f"access_token={TOKEN}&follow=true",
        f"access%5ftoken={TOKEN}",
    ],
)
def test_a_key_in_a_plain_query_is_refused_and_sent_nowhere(proxy: Proxy, query: str) -> None:
    status, location, body = plain(proxy, f"/v4/stream?{query}")
    assert (status, location) == (400, "")
    assert "revoke it" in json.loads(body)["detail"]
    assert KEY not in body + proxy.logs()
    assert TOKEN not in body + proxy.logs()


def test_the_clients_take_their_key_from_plain_http_to_tls(
    chain: Simulator, wallet: str, tmp_path: Path
) -> None:
    with instance(tmp_path / "data", chain, API_KEY_REQUIRED="true") as guarded:
        nginx = Nginx(tmp_path / "nginx", [guarded.port])
        nginx.send_to_its_port()
        with running(nginx):
            url, key = f"http://localhost:{nginx.plain_port}", guarded.key()
            *_, complete = stream_sync(url, wallet, key=key, tls=nginx.tls())
            watched = subprocess.run(
                [ROOT / "bin/wd-watch", wallet, "--json", "--url", url],
                env={**os.environ, "WD_KEY": key, "SSL_CERT_FILE": str(nginx.certificate)},
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE,
            )
    assert isinstance(complete, Complete)
    assert json.loads(watched.stdout.splitlines()[-1])["id"] == complete.id
