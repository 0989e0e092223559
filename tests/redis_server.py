"""Real Redis on free ports of the loopback, in a temporary folder: one server, a Cluster of six,
or a server with a replica and the Sentinel that watches both."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import NamedTuple, Protocol, Self, TypeVar
from urllib.parse import quote

from tests.processes import PATIENCE, free_port
from wd_server.secret import Secret

READY = "Ready to accept connections"
# Milliseconds without a sign of life until the others of a Cluster call one dead, and a Sentinel.
DEAD_AFTER = 2000
SENTINEL_DEAD_AFTER = 500
PRIMARIES = 3


class Certificate(NamedTuple):
    """One that signs itself; both files are PEM."""

    path: str
    key_path: str

    @classmethod
    def make(cls, folder: Path) -> Self:
        made = cls(str(folder / "certificate.pem"), str(folder / "key.pem"))
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=redis"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", made.key_path, "-out", made.path]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
        return made


# What redis-cli says when the server ends its connection.
CLOSED = "Server closed the connection"


class RedisServer:
    """`start` again after `stop`: the same port, and what it had if it keeps anything. `options`
    are those of redis.conf, as `("--maxmemory", "4mb")`. With a certificate it takes only TLS."""

    def __init__(
        self,
        folder: Path,
        *,
        keeps: bool = True,
        options: Sequence[str] = (),
        password: str = "",
        certificate: Certificate | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder = folder
        self._log = folder / "redis.log"
        self._options = ["--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        self._options += ["--appendonly", "yes" if keeps else "no", "--appendfsync", "always"]
        self._options += ["--logfile", str(self._log), *options]
        self._login: list[str] = []
        if password:
            self._options += ["--requirepass", password, "--masterauth", password]
            self._login = ["--no-auth-warning", "-a", password]
        if certificate:
            self._options += ["--port", "0", "--tls-port", str(self.port)]
            self._options += ["--tls-auth-clients", "no", "--tls-ca-cert-file", certificate.path]
            self._options += ["--tls-cert-file", certificate.path]
            self._options += ["--tls-key-file", certificate.key_path]
            self._login += ["--tls", "--cacert", certificate.path]
        else:
            self._options += ["--port", str(self.port)]
        self._user = f":{quote(password, safe='')}@" if password else ""
        self._certificate = certificate
        self.url = self.at("redis", self.address, "/0")
        self._process: subprocess.Popen[bytes] | None = None

    def at(self, scheme: str, address: str, path: str = "") -> Secret:
        """A URL with this server's password and certificate."""
        if self._certificate:
            scheme = scheme.replace("redis", "rediss", 1)
            path += f"?ssl_ca_certs={self._certificate.path}"
        return Secret(f"{scheme}://{self._user}{address}{path}")

    def start(self) -> None:
        """Returns when it takes connections."""
        self._log.touch()
        with self._log.open() as log:
            log.seek(0, 2)
            self._process = subprocess.Popen(self._command())
            deadline = monotonic() + PATIENCE
            said = ""
            # A file has no event for what is written to it, so this looks in small steps; a line
            # that is just being written comes in pieces.
            while READY not in (said := said + log.read()):
                if self._process.poll() is not None or monotonic() > deadline:
                    raise AssertionError(f"redis-server isn't ready: {self._log.read_text()}")
                sleep(0.01)

    def _command(self) -> list[str]:
        return ["redis-server", *self._options]

    def stop(self) -> None:
        """Kill it. Stopping twice is no error."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It does nothing meanwhile; what comes waits in the kernel."""
        assert self._process is not None
        process = self._process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def call(self, *arguments: object) -> str:
        """What redis-cli answers; fails where that is an error."""
        command = ["redis-cli", "-e", "-p", str(self.port), *self._login, *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def info(self, section: str) -> dict[str, str]:
        lines = (line.partition(":") for line in self.call("INFO", section).splitlines())
        return {name: value for name, _, value in lines}

    @property
    def is_primary(self) -> bool:
        return self.info("replication")["role"] == "master"

    def wait_until_has(self, key: str) -> None:
        """A replica is sent what its primary has answered already."""
        _wait_until(lambda: self.call("EXISTS", key) == "1")

    @property
    def has_all(self) -> bool:
        """A replica that has what its primary has; so has every primary."""
        return self.info("replication").get("master_link_status", "up") == "up"


class RedisCluster:
    """Three primaries with a replica each; all six take the same options."""

    def __init__(
        self,
        folder: Path,
        *,
        keeps: bool = True,
        options: Sequence[str] = (),
        password: str = "",
        certificate: Certificate | None = None,
    ) -> None:
        secure = ("--tls-cluster", "yes", "--tls-replication", "yes") if certificate else ()
        self.nodes = [
            RedisServer(
                folder / str(number),
                keeps=keeps,
                options=(*_member_options(), *secure, *options),
                password=password,
                certificate=certificate,
            )
            for number in range(2 * PRIMARIES)
        ]
        self.url = self.nodes[0].at("redis+cluster", self.nodes[0].address)

    def start(self) -> None:
        """Returns when every slot is served and every replica has what its primary has."""
        for node in self.nodes:
            node.start()
        ports = [node.call("CONFIG", "GET", "cluster-port").split()[1] for node in self.nodes]
        members = [f"{node.address}@{port}" for node, port in zip(self.nodes, ports, strict=True)]
        replicas = ("--cluster-replicas", "1", "--cluster-yes")
        self.nodes[0].call("--cluster", "create", *members, *replicas)
        self.wait_until_whole()

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def running(self) -> list[RedisServer]:
        return [node for node in self.nodes if node.is_running]

    def primaries(self) -> list[RedisServer]:
        return [node for node in self.running() if node.is_primary]

    def owner(self, key: str) -> RedisServer:
        """The primary that has this key."""
        slot = int(self.nodes[0].call("CLUSTER", "KEYSLOT", key))
        return next(node for node in self.primaries() if slot in _slots(node))

    def replica(self, primary: RedisServer) -> RedisServer:
        return next(
            node
            for node in self.running()
            if node.info("replication").get("master_port") == str(primary.port)
        )

    def fail_over(self, primary: RedisServer) -> RedisServer:
        """Its replica takes over, with nothing lost. Returns it when it has."""
        replica = self.replica(primary)
        _wait_until(lambda: replica.has_all)
        replica.call("CLUSTER", "FAILOVER")
        _wait_until(lambda: replica.is_primary)
        return replica

    def move(self, key: str, target: RedisServer, *, finish: bool = True) -> None:
        """Move the slot of a key, with all keys in it, to another primary. If it isn't to `finish`,
        who asks for one of them is sent on for this once (ASK)."""
        source = self.owner(key)
        slot = source.call("CLUSTER", "KEYSLOT", key)
        source_id, target_id = source.call("CLUSTER", "MYID"), target.call("CLUSTER", "MYID")
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for name in source.call("CLUSTER", "GETKEYSINSLOT", slot, 1000).splitlines():
            source.call("MIGRATE", "127.0.0.1", target.port, name, 0, PATIENCE * 1000)
        if finish:
            for node in (target, source):
                node.call("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def wait_until_whole(self) -> None:
        """Every slot is served, replicas have what they should, and all that run agree on who is
        what."""
        _wait_until(lambda: all(map(_is_whole, self.running())) and self._agree())

    def _agree(self) -> bool:
        running = {str(node.port) for node in self.running()}
        views = [
            {port: role for port, role in _roles(node).items() if port in running}
            for node in self.running()
        ]
        return all(view == views[0] for view in views)


class RedisSentinel:
    """A primary, a replica, and one Sentinel that makes the replica primary when that is dead."""

    SERVICE = "journals"

    def __init__(self, folder: Path) -> None:
        self.primary = RedisServer(folder / "primary")
        follows = ("--replicaof", "127.0.0.1", str(self.primary.port))
        self.replica = RedisServer(folder / "replica", options=follows)
        self.sentinel = _SentinelProcess(folder / "sentinel", self.primary.port)
        self.url = Secret(f"redis+sentinel://{self.sentinel.address}/{self.SERVICE}")

    def start(self) -> None:
        """Returns when the Sentinel knows both and the replica has everything."""
        self.primary.start()
        self.replica.start()
        _wait_until(lambda: self.replica.has_all)
        self.sentinel.start()
        _wait_until(lambda: "slaves=1" in self.sentinel.call("INFO", "sentinel"))

    def stop(self) -> None:
        for server in (self.sentinel, self.replica, self.primary):
            server.stop()

    def wait_until_taken_over(self) -> None:
        """Returns when the replica is primary, some seconds after the primary was stopped."""

        def taken_over() -> bool:
            try:
                return self.replica.is_primary
            except AssertionError as error:
                # A sentinel closes all clients' connections as it makes the replica primary.
                if CLOSED not in str(error):
                    raise
                return False

        _wait_until(taken_over)


class _SentinelProcess(RedisServer):
    """It keeps what it knows in its configuration file and takes no options for that."""

    def __init__(self, folder: Path, watched: int) -> None:
        super().__init__(folder)
        service = RedisSentinel.SERVICE
        self._configuration = folder / "sentinel.conf"
        self._configuration.write_text(
            f"port {self.port}\n"
            "bind 127.0.0.1\n"
            f"dir {folder}\n"
            f"logfile {self._log}\n"
            f"sentinel monitor {service} 127.0.0.1 {watched} 1\n"
            f"sentinel down-after-milliseconds {service} {SENTINEL_DEAD_AFTER}\n"
        )

    def _command(self) -> list[str]:
        return ["redis-server", str(self._configuration), "--sentinel"]

    def start(self) -> None:
        """Returns when it takes connections; its log doesn't say."""
        self._process = subprocess.Popen(self._command())
        _wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            return self.call("PING") == "PONG"
        except AssertionError:
            return False


@contextmanager
def redis_server(
    *, keeps: bool = True, options: Sequence[str] = (), password: str = "", tls: bool = False
) -> Iterator[RedisServer]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        certificate = Certificate.make(folder) if tls else None
        with _started(
            RedisServer(
                folder, keeps=keeps, options=options, password=password, certificate=certificate
            )
        ) as server:
            yield server


@contextmanager
def redis_cluster(
    *, keeps: bool = True, options: Sequence[str] = (), password: str = "", tls: bool = False
) -> Iterator[RedisCluster]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        certificate = Certificate.make(folder) if tls else None
        with _started(
            RedisCluster(
                folder, keeps=keeps, options=options, password=password, certificate=certificate
            )
        ) as cluster:
            yield cluster


@contextmanager
def redis_sentinel() -> Iterator[RedisSentinel]:
    with TemporaryDirectory() as folder, _started(RedisSentinel(Path(folder))) as watched:
        yield watched


class _Startable(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


_Kind = TypeVar("_Kind", bound=_Startable)


@contextmanager
def _started(made: _Kind) -> Iterator[_Kind]:
    try:
        made.start()
        yield made
    finally:
        made.stop()


def _member_options() -> tuple[str, ...]:
    # The port of a Cluster's bus is 10000 more than the other unless it is told.
    bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    quick = ("--cluster-node-timeout", str(DEAD_AFTER), "--repl-diskless-sync-delay", "0")
    # A replica takes over however long ago it heard of its primary: tests stop both.
    return (*bus, *quick, "--cluster-replica-validity-factor", "0")


def _slots(node: RedisServer) -> set[int]:
    """What it says it has; slots that are on the move stand in brackets and with their owner."""
    lines = node.call("CLUSTER", "NODES").splitlines()
    ranges = next(line for line in lines if "myself" in line).split()[8:]
    slots: set[int] = set()
    for each in ranges:
        if not each.startswith("["):
            first, _, last = each.partition("-")
            slots.update(range(int(first), int(last or first) + 1))
    return slots


def _roles(node: RedisServer) -> dict[str, str]:
    """What it takes each member for, by port."""
    members = map(str.split, node.call("CLUSTER", "NODES").splitlines())
    return {
        address.partition("@")[0].rpartition(":")[2]: flags.removeprefix("myself,")
        for _, address, flags, *_ in members
    }


def _is_whole(node: RedisServer) -> bool:
    state = dict(line.split(":") for line in node.call("CLUSTER", "INFO").splitlines())
    served = state["cluster_state"] == "ok" and state["cluster_slots_ok"] == "16384"
    return served and node.has_all


def _wait_until(is_so: Callable[[], bool]) -> None:
    """Nothing tells of what a server finds out, so this asks again."""
    deadline = monotonic() + PATIENCE
    while not is_so():
        assert monotonic() < deadline, "Redis didn't get there"
        sleep(0.05)
