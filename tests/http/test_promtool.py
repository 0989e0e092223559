"""The metrics as Prometheus' own tool reads them."""

import subprocess
from pathlib import Path
from urllib.request import urlopen

from processes import server

# The contract keeps these names as they were; what the tool says of them is a matter of style.
KEPT_NAMES = {"total_streams", "total_events", "total_trades", "bytes_sent"}


def test_promtool_finds_no_error_and_no_complaint_but_of_the_contracts_names(
    tmp_path: Path,
) -> None:
    with server(tmp_path, None) as srv, urlopen(srv.url + "/metrics", timeout=30) as response:
        text = response.read()
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=30, check=False
    )
    complaints = (checked.stdout + checked.stderr).decode().splitlines()
    suffix = 'counter metrics should have "_total" suffix'
    assert complaints == [f"walletdoctor_{name} {suffix}" for name in sorted(KEPT_NAMES)]
