"""Marked secrets go through success and failure of everything, and nobody sees them afterwards.

Searched is all that leaves a server: its log, its answers, its metrics, its files, the process
list, and what the command line tools say.
"""

import os
import re
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest
from processes import PATIENCE, ROOT, Server, Simulator, server, simulator
from redis import Redis
from redis_server import RedisServer
from text_server import text_server
from wire import Answer, Connection, exchange

from wd_server.access.keys import KEY_ID_CHARACTERS

# The secrets of an operator. As long as the shortest seen, and nothing else contains them.
SECRETS = {
    "SECRET_KEY": "mrkSecretKeyNow.f3a1c27e90b84d56a1e0",
    "SECRET_KEY_OLD": "mrkSecretKeyOld.07c5be21d9f34a6883b2",
    "HELIUS_KEY": "mrkHeliusKey-5b1d0a93-7c42-4e1f-98d6",
    "HELIUS_RPC_URL": "mrkRpcUrlKey-c9e2f1a7-3b60-4d85-8e17",
    "HELIUS_WS_URL": "mrkWsUrlKey-4a7d1f06-b9c3-42e8-90f5",
    "REDIS_URL": "mrkRedisPassword.2d9b7c4f1e",
    "METRICS_TOKEN": "mrkMetricsToken.8f60d1b52c7a",
    "WEBHOOK_SECRET": "mrkWebhookSecret.61e7a0c94b3d",
    "BIRDEYE_API_KEY": "mrkBirdeyeKey-e04c9b7f2a6d4185",
    "PRICE_URL": "mrkPriceUrlKey-a17f3c5e9d024b68",
}
# Of the simulated chain: how many, and their transactions.
WALLETS, SIZE = 32, 12
# What a server says to itself when it meets a bug, with all there is in the message.
CRASHING = """\
import os
from handlers.home import HomeHandler
from wd_server.chain.history import History

SECRETS = " ".join(os.environ.get(name, "") for name in {names!r})

def get(self):
    raise RuntimeError(f"{{SECRETS}} {{self.request}} {{self.request.headers}}")

def read(self, wallet, *asked, inner=History.read):
    if wallet == {wallet!r}:
        try:
            raise ValueError(SECRETS)
        except ValueError as error:
            raise RuntimeError(f"the cause has it: {{error}}") from error
    return inner(self, wallet, *asked)

HomeHandler.get, History.read = get, read
"""


class Findings:
    """Everything seen, and from where; and what must not be in it, by name."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._seen: list[tuple[str, bytes]] = []
        self._secrets = dict(secrets)

    def add(self, where: str, text: bytes | str) -> None:
        self._seen.append((where, text.encode() if isinstance(text, str) else text))

    def answer(self, where: str, answer: Answer) -> Answer:
        self.add(where, f"{answer.headers}".encode() + answer.body)
        return answer

    def hide(self, name: str, text: str) -> None:
        self._secrets[name] = text

    def hide_key(self, name: str, key: str) -> None:
        """All but its beginning, which may be seen. A character less at the end finds it in keys
        that were changed a little."""
        self.hide(name, key[KEY_ID_CHARACTERS:-1])

    def hide_token(self, name: str, token: str) -> None:
        """Each part but the first, which is the same in all tokens."""
        for part in token.split(".")[1:]:
            if part:
                self.hide(f"{name}: {part[:4]}…", part[:-2])

    def assert_nothing_leaked(self) -> None:
        assert len(self._seen) > 1
        shapes = {name: list(_shapes(text)) for name, text in self._secrets.items()}
        leaks = [
            f"{name} in {where}: …{_around(text, shape)!r}…"
            for where, text in self._seen
            for name, forms in shapes.items()
            for shape in forms
            if shape in text
        ]
        assert not leaks, "\n".join(leaks)


def _shapes(text: str) -> Iterator[bytes]:
    """As it is, escaped for a URL, in hexadecimal, and in base64 wherever it begins there."""
    plain = text.encode()
    yield plain
    yield quote(text, safe="").encode()
    yield plain.hex().encode()
    for shift in range(3):
        # The first and last characters depend on what stands beside it.
        yield b64encode(b"x" * shift + plain)[4:-4]


def _around(text: bytes, found: bytes) -> bytes:
    at = text.index(found)
    return text[max(at - 60, 0) : at + 20]


@pytest.fixture(scope="module")
def chain() -> Iterator[Simulator]:
    with simulator("--only", "--warm", "--wallets", f"{SIZE}x{WALLETS}") as started:
        yield started


@pytest.fixture(scope="module")
def wallets(chain: Simulator) -> Iterator[str]:
    """Each is asked for once."""
    return (address for address, _ in chain.wallets)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """It wants a password, and keeps what it is told in a folder that is searched."""
    folder = tmp_path / "redis"
    folder.mkdir()
    started = RedisServer(folder)
    started.start()
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def marked_server(
    kind: str, chain: Simulator, folder: Path, crashing_wallet: str, redis: RedisServer | None
) -> Iterator[Server]:
    """With every secret set, all it can log, and a bug at `/` and in one wallet's sync pass."""
    hooks = folder / "hooks"
    hooks.mkdir()
    code = CRASHING.format(names=tuple(SECRETS), wallet=crashing_wallet)
    (hooks / "sitecustomize.py").write_text(code)
    settings = SECRETS | {
        "HELIUS_RPC_URL": f"{chain.url.rstrip('/')}/?api-key={SECRETS['HELIUS_RPC_URL']}",
        "HELIUS_WS_URL": f"ws://127.0.0.1:9/?api-key={SECRETS['HELIUS_WS_URL']}",
        "PRICE_URL": f"{chain.url.rstrip('/')}/{SECRETS['PRICE_URL']}",
        "PRICE_SOURCE": "birdeye",
        "LOG_LEVEL": "debug",
        "API_KEY_REQUIRED": "true",
        "PYTHONPATH": str(hooks),
    }
    del settings["REDIS_URL"]
    if redis is not None:
        settings["REDIS_URL"] = _with_password(redis)
    start = text_server if kind == "text" else server
    with start(folder / "data", None, **settings) as started:
        yield started


def _with_password(redis: RedisServer) -> str:
    return redis.url.reveal().replace("://", f"://:{SECRETS['REDIS_URL']}@")


def test_no_secret_leaves_a_server_whatever_happens(
    chain: Simulator, wallets: Iterator[str], tmp_path: Path
) -> None:
    # What it isn't told it can't know as a secret.
    known = {name: text for name, text in SECRETS.items() if name != "REDIS_URL"}
    for kind in ("json", "text"):
        folder = tmp_path / kind
        folder.mkdir()
        crashing_wallet = next(wallets)
        findings = Findings(known)
        with marked_server(kind, chain, folder, crashing_wallet, None) as srv:
            visitor = Visitor(srv, findings)
            visitor.succeed(next(wallets))
            visitor.be_refused(next(wallets))
            visitor.meet_bugs(crashing_wallet)
            visitor.lose_the_key_while_streaming(next(wallets))
            visitor.meet_faults(chain, wallets)
            _look_at(srv, findings)
            assert srv.stop() == 0
        assert (folder / "data" / "journal.db").exists()
        _search(folder / "data", findings)
        assert b"Traceback" in (folder / "data" / "server.log").read_bytes()
        findings.assert_nothing_leaked()


def test_no_secret_leaves_a_server_whose_redis_goes_away(
    chain: Simulator, wallets: Iterator[str], redis: RedisServer, tmp_path: Path
) -> None:
    findings = Findings(SECRETS)
    folder = tmp_path / "server"
    folder.mkdir()
    with Redis(port=redis.port) as operator:
        operator.config_set("requirepass", SECRETS["REDIS_URL"])
    with marked_server("json", chain, folder, next(wallets), redis) as srv:
        visitor = Visitor(srv, findings)
        visitor.succeed(next(wallets))
        visitor.be_refused(next(wallets))
        with Redis(port=redis.port, password=SECRETS["REDIS_URL"]) as operator:
            findings.add("Redis", repr([operator.dump(key) for key in operator.scan_iter()]))
            operator.config_set("requirepass", "another")
            operator.client_kill_filter(_type="normal", skipme=True)
        srv.wait_for("access_stale", 1)
        visitor.be_refused(next(wallets))
        redis.stop()
        visitor.be_refused(next(wallets))
        srv.wait_for_log("keys can't be read")
        for arguments in (("list",), ("create", "--name", "x"), ("revoke", "wd_aaaaaaaa")):
            _run_tool("wd-keys", {**srv._settings}, findings, *arguments)
        _look_at(srv, findings)
        srv.stop()
    _search(tmp_path, findings, but="hooks")
    findings.assert_nothing_leaked()


class Visitor:
    """Does everything that a client can do, and keeps what it is told."""

    def __init__(self, srv: Server, findings: Findings) -> None:
        self._srv = srv
        self._findings = findings
        self._asked = 0
        self.statuses: Counter[int] = Counter()
        self.key = srv.key()
        findings.hide_key("an API key", self.key)
        self.token = self._exchange(self.key)

    def _exchange(self, key: str) -> str:
        answer = exchange(
            self._srv.url, "/v4/auth/token", method="POST", headers=[("X-API-Key", key)]
        )
        token: str = answer.json()["access_token"]  # the one answer that may have it
        self._findings.hide_token("a token", token)
        return token

    def ask(
        self, target: str, *headers: tuple[str, str], method: str = "GET", body: bytes = b""
    ) -> Answer:
        """From another address each time, so that no limit answers in place of what is tried."""
        self._asked += 1
        source = f"127.8.{self._asked // 250}.{self._asked % 250 + 1}"
        with Connection(self._srv.url, source=source) as connection:
            connection.request(method, target, headers, body)
            answer = connection.answer()
        self.statuses[answer.status] += 1
        return self._findings.answer(f"the answer to {method} {target[:40]}", answer)

    def _everywhere(self, wallet: str, credential: str) -> Iterator[Answer]:
        paths = [f"/v4/wallet/{wallet}{end}" for end in ("/stream", "", "/trades")]
        paths += ["/v4/streams", f"/v4/stream?wallet={wallet}", "/nowhere"]
        for path in paths:
            mark = "&" if "?" in path else "?"
            yield self.ask(path, ("Authorization", f"Bearer {credential}"))
            yield self.ask(path, ("X-API-Key", credential))
            yield self.ask(f"{path}{mark}api_key={credential}")
            yield self.ask(f"{path}{mark}access_token={credential}&errors=event")

    def succeed(self, wallet: str) -> None:
        for credential in (self.key, self.token):
            answers = list(self._everywhere(wallet, credential))
            assert [answer.status for answer in answers].count(200) >= 12
            assert b"event: trade" in answers[0].body
        metrics = self.ask("/metrics", ("Authorization", f"Bearer {SECRETS['METRICS_TOKEN']}"))
        assert metrics.status == 200
        for path in ("/metrics", "/health", "/health/ready"):
            self.ask(path)
        self.ask(f"/v4/streams/{'0' * 32}", ("X-API-Key", self.key), method="DELETE")

    def be_refused(self, wallet: str) -> None:
        self._be_refused_for_credentials(wallet)
        self._put_credentials_where_they_dont_belong(wallet)
        self._send_what_cannot_be_read(wallet)

    def _be_refused_for_credentials(self, wallet: str) -> None:
        head, payload, seal = self.token.split(".")
        wrong = [
            self.key[:-1] + ("a" if self.key[-1] != "a" else "b"),
            f"{self.key}x",
            f"{head}.{payload}.{seal[:-2]}AA",
            f"{head}.{payload}.",
            f"{head}.{payload}",
            self._token(exp=int(time.time()) - 100, iat=int(time.time()) - 200),
            self._token(aud="elsewhere"),
            self._token(wallets=["x"]),
            self._token(max_streams="many"),
            *SECRETS.values(),
        ]
        for credential in wrong:
            for answer in self._everywhere(wallet, credential):
                assert answer.status in (200, 400, 401, 403, 404, 429, 503)
                assert b"event: trade" not in answer.body
        one, other = f"api_key={self.key}", f"access_token={self.token}"
        path = f"/v4/wallet/{wallet}/stream"
        for accept in ("text/event-stream", "application/json"):
            answer = self.ask(f"{path}?{one}&{other}&errors=event", ("Accept", accept))
            assert answer.status in (200, 400)
            self.ask(f"{path}?{one}", ("Authorization", f"Bearer {self.token}"))
            self.ask(path, ("X-API-Key", self.key), ("Authorization", f"Bearer {self.token}"))

    def _token(self, **changed: object) -> str:
        """Rightly signed, and wrong in a claim."""
        now = int(time.time())
        claims = {
            "iss": "wd-server",
            "aud": "wd-server",
            "sub": "somebody",
            "jti": os.urandom(8).hex(),
            "iat": now,
            "exp": now + 60,
            "wallets": ["*"],
        }
        token = jwt.encode(claims | changed, SECRETS["SECRET_KEY"], "HS256")
        self._findings.hide_token("a wrong token", token)
        return token

    def _put_credentials_where_they_dont_belong(self, wallet: str) -> None:
        stream = f"/v4/wallet/{wallet}/stream"
        for text in (self.key, self.token, *SECRETS.values()):
            basic = b64encode(f"user:{text}".encode()).decode()
            for path in ("/nowhere", stream):
                for field in (
                    ("Authorization", text),
                    ("Authorization", f"Basic {basic}"),
                    ("Cookie", f"session={text}"),
                    ("User-Agent", text),
                    ("Referer", f"https://app.example/?api_key={text}"),
                    ("Origin", f"https://{text}"),
                    ("Last-Event-ID", text),
                    ("X-Forwarded-For", text),
                    ("Accept", text),
                ):
                    self.ask(path, field, ("X-API-Key", self.key))
            for query in (text, f"x={text}", f"token={text}", f"batch={text}", f"mint={text}"):
                self.ask(f"{stream}?{query}", ("X-API-Key", self.key))
            for name in ("API_KEY", "api%5Fkey", "Api-Key", "api_key;x", "access%5ftoken", "key"):
                self.ask(f"/nowhere?{name}={text}")
                self.ask(f"{stream}?{name}={text}")
            for path in ("/v4/wallet/{}/stream", "/v4/streams/{}", "/{}", "/nowhere;api_key={}"):
                self.ask(path.format(text), ("X-API-Key", self.key))
            self.ask(f"http://user:{text}@host{stream}")
            for body in (text, f'{{"{text}": 1}}', f'{{"wallets": ["{text}"]}}'):
                self.ask(
                    "/v4/auth/token",
                    ("X-API-Key", self.key),
                    ("Content-Type", "application/json"),
                    method="POST",
                    body=body.encode(),
                )

    def _send_what_cannot_be_read(self, wallet: str) -> None:
        good = f"GET /v4/wallet/{wallet}/stream?api_key={self.key}"
        for text in (self.key, self.token, SECRETS["METRICS_TOKEN"]):
            fields = f"Host: x\r\nAuthorization: Bearer {text}\r\n"
            for request in (
                f"{good} HTTP/9.9\r\n{fields}\r\n",
                f"{good} with spaces HTTP/1.1\r\n{fields}\r\n",
                f"{good} HTTP/1.1\r\n{fields}{fields}\r\n",
                f"{good} HTTP/1.1\r\n{fields} {text}\r\n\r\n",
                f"{good} HTTP/1.1\r\n{fields}X: {text}\0\r\n\r\n",
                f"{good} HTTP/1.1\r\n{fields}Content-Length: {text}\r\n\r\n",
                f"{good} HTTP/1.1\r\n{fields}Transfer-Encoding: {text}\r\n\r\n",
                f"{good} HTTP/1.1\r\n{fields}X: {text * 500}\r\n\r\n",
                f"{text} / HTTP/1.1\r\n{fields}\r\n",
                f"GET {text} HTTP/1.1\r\n{fields}\r\n",
                f"GET http://[{text}/ HTTP/1.1\r\n{fields}\r\n",
                f"GET / HTTP/{text}\r\n{fields}\r\n",
                f"{text}\r\n\r\n",
            ):
                with Connection(self._srv.url) as connection:
                    connection.send_as_taken(
                        request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode()
                    )
                    connection.socket.shutdown(socket.SHUT_WR)
                    self._findings.add("the answer to nonsense", connection.ended())

    def meet_bugs(self, wallet: str) -> None:
        answer = self.ask(f"/?api_key={self.key}", ("Authorization", f"Bearer {self.token}"))
        assert answer.status == 500
        stream = f"/v4/wallet/{wallet}/stream"
        answer = self.ask(f"{stream}?access_token={self.token}")
        assert b"INTERNAL_ERROR" in answer.body

    def meet_faults(self, chain: Simulator, wallets: Iterator[str]) -> None:
        """Those that end a sync pass at once, and those that it gets over. Upstreams like to repeat
        the key that they refuse."""
        said = f"invalid api key {SECRETS['HELIUS_RPC_URL']} for {SECRETS['HELIUS_KEY']}"
        for fault in (
            {"kind": "rpc_error", "code": -32602, "message": said},
            {"kind": "rpc_error", "code": -32603, "message": said, "count": 1},
            {"kind": "bad_key"},
            {"kind": "429", "count": 1},
            {"kind": "garbage", "count": 1},
            {"kind": "disconnect", "count": 1},
            {"kind": "quota"},
        ):
            chain.call("simFault", fault)
            headers = ("X-API-Key", self.key)
            answer = self.ask(f"/v4/wallet/{next(wallets)}/stream?errors=event", headers)
            assert re.search(rb"event: (complete|error)\n", answer.body)
            self.ask("/health")
            chain.call("simReset")

    def lose_the_key_while_streaming(self, wallet: str) -> None:
        key = self._srv.key()
        self._findings.hide_key("a revoked key", key)
        token = self._exchange(key)
        stream = f"/v4/wallet/{wallet}/stream?follow=true"
        with Connection(self._srv.url) as by_key, Connection(self._srv.url) as by_token:
            by_key.request("GET", f"{stream}&api_key={key}")
            by_token.request("GET", f"{stream}&access_token={token}")
            begun = [each.socket.recv(1) for each in (by_key, by_token)]
            self._srv.keys("revoke", key[:KEY_ID_CHARACTERS])
            for first, each in zip(begun, (by_key, by_token), strict=True):
                ended = first + each.ended()
                assert b"event: bye" in ended
                self._findings.add("a stream that was ended", ended)
        for credential in (key, token):
            assert all(
                answer.status in (401, 200, 404) for answer in self._everywhere(wallet, credential)
            )


def _look_at(srv: Server, findings: Findings) -> None:
    """What others on the machine and those who watch can see of the running server."""
    with Connection(srv.url) as connection:
        connection.request("GET", "/metrics")
        findings.answer("the metrics", connection.answer())
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "comm"):
            try:
                findings.add(f"{process.name}'s {name}", (process / name).read_bytes())
            except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
                continue
    assert srv.process is not None
    assert (Path("/proc") / str(srv.process.pid) / "cmdline").read_bytes()


def _search(folder: Path, findings: Findings, but: str = "") -> None:
    """Every file: the log, the databases and what they keep beside them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != but]
    assert any(path.name == "server.log" for path in files)
    for path in files:
        findings.add(str(path.relative_to(folder)), path.read_bytes())


# What the tools say

WRONG: dict[str, Mapping[str, str]] = {
    "with spaces": {name: f"{text} {text}" for name, text in SECRETS.items()},
    "of a wrong scheme": {
        name: f"gopher://user:{SECRETS[name]}@host/?key={SECRETS[name]}"
        for name in ("HELIUS_RPC_URL", "HELIUS_WS_URL", "REDIS_URL", "PRICE_URL")
    },
    "with a control character": {name: f"{text}\x01" for name, text in SECRETS.items()},
    "too short": {
        "ENV": "production",
        "SECRET_KEY": SECRETS["SECRET_KEY"][:20],
        "SECRET_KEY_OLD": SECRETS["SECRET_KEY_OLD"][:20],
    },
    "alone": {"SECRET_KEY_OLD": SECRETS["SECRET_KEY_OLD"]},
    "a port that is none": {"REDIS_URL": f"redis://:{SECRETS['REDIS_URL']}@host:99999999"},
    "half an address": {"HELIUS_RPC_URL": f"https://[{SECRETS['HELIUS_RPC_URL']}/"},
    "right, and the store is away": {
        **{name: text for name, text in SECRETS.items() if not name.endswith("_URL")},
        "REDIS_URL": f"redis://user:{SECRETS['REDIS_URL']}@127.0.0.1:9/0",
    },
}


@pytest.mark.parametrize("settings", WRONG.values(), ids=WRONG)
def test_no_tool_repeats_a_secret_that_is_wrong_or_of_no_use(
    settings: Mapping[str, str], tmp_path: Path
) -> None:
    findings = Findings({name: text[:20] for name, text in SECRETS.items()})
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path / "data"), **settings}
    _run_tool("wd-server", environment, findings, "--check")
    _run_tool("wd-server", environment, findings, "--port", "0", fails=True)
    _run_tool("wd-keys", environment, findings, "list")
    _run_tool("wd-keys", environment, findings, "create", "--json", "--name", "x")
    findings.assert_nothing_leaked()


def test_a_key_that_is_given_in_place_of_its_id_is_not_repeated(tmp_path: Path) -> None:
    key = "wd_" + "k" * 8 + "mrkKeyOnTheCommandLine99"
    findings = Findings({"the key": key[KEY_ID_CHARACTERS:]})
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)}
    for arguments in (("show", key), ("revoke", key), ("rotate", key), ("revoke-token", key)):
        _run_tool("wd-keys", environment, findings, *arguments)
    findings.assert_nothing_leaked()


def test_a_private_key_in_place_of_a_public_one_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "issuer.pem"
    findings = Findings({"the private key": "mrkPrivateKeyMaterial0123456789"})
    for text in (
        "-----BEGIN PRIVATE KEY-----\nmrkPrivateKeyMaterial0123456789\n-----END PRIVATE KEY-----\n",
        '{"keys": [{"kty": "oct", "k": "mrkPrivateKeyMaterial0123456789"}]}',
        '{"keys": "mrkPrivateKeyMaterial0123456789"}',
        "mrkPrivateKeyMaterial0123456789",
    ):
        file.write_text(text)
        environment = {
            "PATH": os.environ["PATH"],
            "JWT_KEYS_FILE": str(file),
            "JWT_ISSUER": "https://issuer.example",
        }
        _run_tool("wd-server", environment, findings, "--check", fails=True)
    findings.assert_nothing_leaked()


def _run_tool(
    name: str,
    environment: Mapping[str, str],
    findings: Findings,
    *arguments: str,
    fails: bool = False,
) -> None:
    """To its end, which comes at once where something is wrong."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bin" / name), *arguments],
        env=dict(environment),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert not fails or done.returncode != 0
    assert done.stdout or done.stderr
    assert b"Traceback" not in done.stderr
    findings.add(f"{name} {' '.join(arguments)}", done.stdout + done.stderr)
