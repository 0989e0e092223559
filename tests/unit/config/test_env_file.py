from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wd_server.config import env_file, settings
from wd_server.config.settings import InvalidSettings


def test_each_line_is_a_name_and_a_value() -> None:
    text = "# a comment\n\n; another\nA=1\n  B = two words \nC=\nA=3\n"
    assert env_file.parse(text, "file") == {"A": "3", "B": "two words", "C": ""}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"quoted"', "quoted"),
        ("'quoted'", "quoted"),
        ('""twice""', '"twice"'),
        ('"', '"'),
        ("it's", "it's"),
        ("a=b#c;d", "a=b#c;d"),
        (r"a\b$c`d`", r"a\b$c`d`"),
    ],
)
def test_one_pair_of_quotes_is_taken_off_and_nothing_is_expanded(written: str, value: str) -> None:
    assert env_file.parse(f"NAME={written}", "file") == {"NAME": value}


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\r"])
def test_only_lf_begins_another_setting(end: str) -> None:
    """Else what somebody gives as one value would be two settings."""
    assert env_file.parse(f'A="x{end}B=2"\r\nC=3\r\n', "file") == {"A": f"x{end}B=2", "C": "3"}


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"])))
def test_any_value_in_quotes_is_read_as_it_was(value: str) -> None:
    assert env_file.parse(f'NAME="{value}"\n', "file") == {"NAME": value}


def test_every_wrong_line_is_named_and_none_is_repeated() -> None:
    with pytest.raises(InvalidSettings) as wrong:
        env_file.parse("A=1\nsecret text\nexport B=2\n", "file")
    assert wrong.value.complaints == (
        "file, line 2: is not NAME=value.",
        "file, line 3: is not NAME=value.",
    )


def test_a_file_that_cant_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="can't be read: No such file"):
        env_file.read(tmp_path / "absent")
    binary = tmp_path / "binary"
    binary.write_bytes(b"A=\xff")
    with pytest.raises(InvalidSettings, match="is not UTF-8"):
        env_file.read(binary)


def test_the_example_names_what_production_needs() -> None:
    found = env_file.parse(settings.example(), "example")
    assert found == {"HELIUS_KEY": "", "SECRET_KEY": "", "REDIS_URL": ""}
