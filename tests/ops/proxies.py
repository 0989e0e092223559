"""The reverse proxies of conf/ as real programs, in front of real instances.

Their files are taken as they are, but for what can't be the same in a test: ports, instances, and
where logs and pid files lie.
"""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from processes import PATIENCE, ROOT, free_port
from program import Program, substitute

CONF = ROOT / "conf"


class Proxy(Program):
    """What a test needs of one. `logs` is everything that it has written so far."""

    program: str

    def __init__(self, folder: Path, instances: Sequence[int]) -> None:
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.log_folder = folder / "log"
        self.log_folder.mkdir()
        self.certificate = folder / "tls.crt"
        _make_certificate(self.certificate, folder / "tls.key")
        super().__init__(self.log_folder / "said")
        self.command = self.render(instances)

    def render(self, instances: Sequence[int]) -> list[str]:
        """Write its files; the command that starts it in the foreground."""
        raise NotImplementedError

    def name_origin(self, origin: str) -> None:
        """Let pages of this origin read what is answered for the server."""
        raise NotImplementedError

    def be_patient(self, seconds: int) -> None:
        """How long an instance may be silent."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except ConnectionRefusedError:
            return False
        return True

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.log_folder.iterdir()))

    def tls(self, *protocols: str) -> ssl.SSLContext:
        """How a client believes it, with the protocols the client speaks."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.set_alpn_protocols(protocols)
        return context

    def connect(self, *protocols: str, source: str = "127.0.0.1") -> ssl.SSLSocket:
        host = "::1" if ":" in source else "127.0.0.1"
        plain = socket.create_connection((host, self.port), PATIENCE, (source, 0))
        return self.tls(*protocols).wrap_socket(plain, server_hostname="localhost")


class Nginx(Proxy):
    program = "nginx"

    def render(self, instances: Sequence[int]) -> list[str]:
        etc = self.folder / "etc"
        shutil.copytree(CONF / "nginx", etc)
        shutil.copy("/etc/nginx/mime.types", etc)
        # Debian's modules that are enabled here are named relative to the prefix.
        (self.folder / "modules").symlink_to("/usr/share/nginx/modules")
        shutil.copy(self.certificate, etc / "wd-server/tls.crt")
        shutil.copy(self.folder / "tls.key", etc / "wd-server/tls.key")
        place = {
            "/var/log/nginx": str(self.log_folder),
            "/run/nginx.pid": str(self.folder / "nginx.pid"),
            "rlimit_nofile 131072": "rlimit_nofile 8192",
            "worker_connections 65536": "worker_connections 4096",
            # Debian's are root's.
            "    server_tokens off;": "\n".join(
                f"    {kind}_temp_path {self.folder}/{kind};"
                for kind in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi")
            ),
        }
        substitute(etc / "nginx.conf", place)
        place = {
            "listen 443 ": f"listen 127.0.0.1:{self.port} ",
            "listen [::]:443 ": f"listen [::1]:{self.port} ",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen [::]:80;": f"listen [::1]:{self.plain_port};",
            "/var/log/nginx": str(self.log_folder),
        }
        substitute(etc / "conf.d/wd-server.conf", place)
        self._name_instances(instances)
        return ["nginx", "-p", str(self.folder), "-c", str(etc / "nginx.conf"), "-g", "daemon off;"]

    def name_origin(self, origin: str) -> None:
        named = f'    "{origin}" $http_origin;\n    default "";'
        substitute(self.folder / "etc/conf.d/wd-server.conf", {'    default "";': named})

    def send_to_its_port(self) -> None:
        """It is the usual one that it sends plain HTTP to."""
        place = {"return 308 https://$server_name$": f"return 308 https://localhost:{self.port}$"}
        substitute(self.folder / "etc/conf.d/wd-server.conf", place)

    def be_patient(self, seconds: int) -> None:
        text = {"proxy_read_timeout 65s": f"proxy_read_timeout {seconds}s"}
        substitute(self.folder / "etc/wd-server/proxy.conf", text)

    def _name_instances(self, instances: Sequence[int]) -> None:
        shipped = (CONF / "nginx/wd-server/upstream.conf").read_text()
        line = next(line for line in shipped.splitlines() if line.startswith("    server "))
        lines = [line.replace("5000", str(port)) for port in instances]
        text = shipped.replace(line, "\n".join(lines))
        (self.folder / "etc/wd-server/upstream.conf").write_text(text)


class Haproxy(Proxy):
    program = "haproxy"

    def render(self, instances: Sequence[int]) -> list[str]:
        both = self.certificate.read_text() + (self.folder / "tls.key").read_text()
        (self.folder / "wd-server.pem").write_text(both)
        shutil.copy(CONF / "haproxy-away.http", self.folder / "away.http")
        written = self.folder / "haproxy.cfg"
        lines = []
        for line in (CONF / "haproxy.cfg").read_text().splitlines():
            named = line.startswith("    server 5000 ")
            ports = map(str, instances) if named else ["5000"]
            lines += [line.replace("5000", port) for port in ports]
        written.write_text("\n".join(lines) + "\n")
        place = {
            "bind :443": f"bind 127.0.0.1:{self.port},[::1]:{self.port}",
            "bind :80": f"bind 127.0.0.1:{self.plain_port}",
            "/etc/haproxy/": f"{self.folder}/",
            "log /dev/log local0": "log stdout format raw local0",
            "    user haproxy\n    group haproxy\n": "",
            "maxconn 100000": "maxconn 4000",
        }
        substitute(written, place)
        return ["haproxy", "-db", "-f", str(written)]

    def be_patient(self, seconds: int) -> None:
        text = {"timeout server 65s": f"timeout server {seconds}s"}
        substitute(self.folder / "haproxy.cfg", text)


def _make_certificate(certificate: Path, key: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    made += ["-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key)]
    subprocess.run([*made, "-out", str(certificate)], check=True, capture_output=True)
