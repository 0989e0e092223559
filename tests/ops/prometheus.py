"""A real Prometheus with the files of conf/prometheus, on a free port."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from processes import PATIENCE, ROOT, free_port
from program import Program, substitute

CONF = ROOT / "conf/prometheus"
# So that tests wait for no scrape: the files' own are 15 seconds and more.
SCRAPE, NO_DELAY = "200ms", "0s"


class Prometheus(Program):
    def __init__(self, folder: Path, instances: Sequence[int]) -> None:
        super().__init__(folder / "said")
        self.url = f"http://127.0.0.1:{free_port()}"
        shutil.copytree(CONF, folder / "etc")
        targets = "\n          - ".join(f"127.0.0.1:{port}" for port in instances)
        substitute(
            folder / "etc/prometheus.yml",
            {"127.0.0.1:5000": targets, "interval: 15s": f"interval: {SCRAPE}"},
        )
        waits = {f"for: {each}": f"for: {NO_DELAY}" for each in ("30s", "1m", "2m", "5m")}
        substitute(folder / "etc/wd-server.rules.yml", waits)
        self.command = [
            "prometheus",
            f"--config.file={folder / 'etc/prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--log.level=warn",
        ]

    def is_ready(self) -> bool:
        try:
            urlopen(self.url + "/-/ready", timeout=PATIENCE).close()
        except URLError:
            return False
        return True

    def ask(self, path: str, **parameters: str) -> Any:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=PATIENCE) as said:
            return json.load(said)["data"]

    def query(self, expr: str) -> list[tuple[Mapping[str, str], float]]:
        """Labels and values now."""
        found = self.ask("query", query=expr)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def wait_for(self, expr: str) -> list[tuple[Mapping[str, str], float]]:
        """What the query finds, as soon as it finds something."""
        self.wait_until(lambda: bool(self.query(expr)))
        return self.query(expr)
