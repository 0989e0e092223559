from pathlib import Path

import pytest

from wd_tools.load import cli
from wd_tools.load.arguments import EXIT_USAGE

URL = "http://127.0.0.1:1"
KEY = "wd_0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([URL], "--wallets"),
        (["ftp://127.0.0.1", "--wallet", "A"], "not an http"),
        (["http://127.0.0.1:99999", "--wallet", "A"], "not an http"),
        ([f"{URL}/?api_key={KEY}", "--wallet", "A"], "--key-file"),
        ([URL, "--wallet", "A/../B"], "not an address"),
        ([URL, "--wallet", "A", "--streams", "0"], "above 0"),
        ([URL, "--wallet", "A", "--slow", "101"], "percentage"),
        ([URL, "--wallet", "A", "--ramp", "-1"], "from 0 up"),
        ([URL, "--wallet", "A", "--path", "/x\r\ny"], "not a path"),
        ([URL, "--wallet", "A", "--source", "nowhere"], "connect from"),
        ([URL, "--wallets", "/nowhere/at/all"], "can't be read"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments, {})
    assert ended.value.code == EXIT_USAGE
    error = capsys.readouterr().err
    assert complaint in error
    assert KEY not in error.replace(arguments[0], "")


def test_a_key_that_would_end_its_header_is_refused_and_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY} and more\n")
    with pytest.raises(SystemExit):
        cli.main([URL, "--wallet", "A", "--key-file", str(keys)], {})
    assert KEY not in capsys.readouterr().err
