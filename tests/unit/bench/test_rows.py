from pathlib import Path

from bench import fanout, memory, opening
from bench.contenders import FLOOR, NCHAN, STARLETTE, TORNADO, WD, absent
from bench.machine import Cpu
from bench.memory import Held
from bench.page import table
from bench.readers import Opened
from bench.rivals import nchan
from bench.row import Row, at_least, at_most


def test_a_figure_at_its_limit_has_met_the_target():
    assert at_most("memory", 5, 5, "5 KB", " KB").met
    assert not at_most("memory", 5.01, 5, "5 KB", " KB").met
    assert at_least("rate", 4500, 4500, "4,500", "/s").met
    assert not at_least("rate", 4499, 4500, "4,499", "/s").met


def test_the_table_says_of_each_figure_whether_its_target_was_met():
    lines = table(
        [
            ("memory", at_most("a stream", 4, 5, "4 KB", " KB")),
            ("opening", at_least("rate", 4000, 4500, "4,000/s", "/s")),
            ("opening", Row("rival", "absent")),
        ]
    )
    assert lines[2:] == [
        "| memory | a stream | 4 KB | ≤ 5 KB | yes |",
        "| opening | rate | 4,000/s | ≥ 4,500/s | no |",
        "| opening | rival | absent |  |  |",
    ]


def turn(events: int, cpu: float) -> fanout.Turn:
    return fanout.Turn(events, 1.0, Cpu(cpu / 4, cpu * 3 / 4))


def test_fan_out_is_judged_by_the_median_of_ratios_within_turns():
    # The machine was busy in the second turn, for everyone alike.
    ours = [turn(100_000, 1.0), turn(50_000, 1.0), turn(100_000, 1.0)]
    floor = [turn(120_000, 1.0), turn(60_000, 1.0), turn(120_000, 1.0)]
    rival = [turn(80_000, 1.0), turn(40_000, 1.0), turn(80_000, 1.0)]
    bursts = {WD.name: [turn(900_000, 1.0)] * 3, FLOOR.name: [turn(990_000, 1.0)] * 3}
    rows = fanout.rows({WD.name: ours, FLOOR.name: floor, NCHAN.name: rival}, bursts)
    judged = [(row.figure.rpartition(": ")[2], row.met) for row in rows if row.target]
    assert judged == [
        ("1.20 x floor", True),
        ("1.25 x nchan", False),
        ("9.0 x one at a time", True),
    ]
    assert STARLETTE.name not in str(rows)


def test_memory_is_the_growth_by_the_number_of_streams():
    def held(megabytes: int) -> Held:
        return Held(50_000_000, 50_000_000 + megabytes * 1_000_000)

    rows = memory.rows({WD.name: held(76), NCHAN.name: held(190)})
    assert rows[0].figure == "4.0 KB a stream (126 MB in all, 50 MB before)"
    assert [row.met for row in rows] == [True, True, None]


def test_opening_is_named_for_whether_a_key_was_checked():
    def turns(rate: int, with_key: bool) -> list[opening.Turn]:
        opened = Opened(19_000, 19_000 / rate, 0.01, 0.05, 0.1)
        return [opening.Turn(opened, Cpu(3.0, 0.8), with_key)] * 3

    without = opening.rows({WD.name: turns(5000, False), TORNADO.name: turns(3000, False)})
    with_key = opening.rows({WD.name: turns(3600, True), TORNADO.name: turns(3000, False)})
    assert [row.met for row in without[:2]] == [True, True]
    assert [row.met for row in with_key[:2]] == [False, False]
    assert "without a key" in without[0].what
    assert "with a key" in with_key[0].what


def test_nchans_configuration_names_its_module_and_port():
    text = nchan.configuration(Path("/modules/ngx_nchan_module.so"), 4711)
    assert text.startswith("load_module /modules/ngx_nchan_module.so;\n")
    assert "listen 127.0.0.1:4711 backlog=4096;" in text
    assert "worker_processes 1;" in text


def test_a_rival_that_is_not_installed_is_named_as_absent():
    gone = NCHAN._replace(missing=lambda: "libnginx-mod-nchan (Debian)")
    assert absent("opening", [FLOOR, gone]) == [
        Row("opening: nchan", "absent: not installed: libnginx-mod-nchan (Debian)")
    ]
