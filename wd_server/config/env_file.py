"""A file of settings: NAME=value lines, as `conf/env.example` has them.

Only LF or CR LF ends a line. A value may have other characters that some readers take for the end
of a line, such as U+2028, and they begin no second setting.

The value is what stands behind the `=`, without blanks around it and without one pair of quotes;
nothing in it is expanded or unescaped. So it keeps any secret as it is, and no shell reads it.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from wd_server.config.settings import InvalidSettings

STDIN = Path("-")

_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


def parse(text: str, source: str) -> dict[str, str]:
    """The variables; of two with one name the later. Blank lines and those that begin with # or ;
    say nothing. Raises InvalidSettings, which names the lines and repeats nothing of them."""
    values, complaints = {}, []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip()[0] in "#;":
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            complaints.append(f"{source}, line {number}: is not NAME=value.")
        else:
            values[found[1]] = _unquoted(found[2])
    if complaints:
        raise InvalidSettings(complaints)
    return values


def read(path: Path | None) -> Mapping[str, str]:
    """The variables of a file, if there is one; `-` is standard input. Raises InvalidSettings."""
    if path is None:
        return {}
    source = "standard input" if path == STDIN else str(path)
    try:
        text = (sys.stdin.buffer.read() if path == STDIN else path.read_bytes()).decode()
    except OSError as error:
        raise InvalidSettings([f"{source}: can't be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise InvalidSettings([f"{source}: is not UTF-8 text."]) from None
    return parse(text, source)


def _unquoted(text: str) -> str:
    is_quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if is_quoted else text
