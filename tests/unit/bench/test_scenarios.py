"""How the scenarios judge what was seen: losses above all."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from bench import heartbeats, hundred_thousand, newcomer, nodes, stall, storm, wallets, watched
from wd_tools.load.report import Report

TIMES = {"count": 10, "p50": 1.0, "p99": 8.0, "p999": 9.0, "max": 9.0}


def report(streams: int = 10, trades: int = 0, **changes: Mapping[str, Any]) -> Report:
    """Of a load test in which nothing went wrong, but for the changes."""
    sound: dict[str, dict[str, Any]] = {
        "asked": {
            "url": "http://127.0.0.1:5000",
            "streams": streams,
            "processes": 1,
            "wallets": 1,
            "spread": "even",
            "follow": True,
            "batch": 0,
            "keys": 0,
            "ramp": 0.0,
            "hold": 30.0,
            "slow": 0.0,
            "churn": 0.0,
            "seed": 7,
        },
        "opening": {
            "opened": streams,
            "seconds": 1.0,
            "per_second": 10.0,
            "all_open_after": 1.0,
            "first_event_ms": TIMES,
        },
        "events": {"count": 0, "trades": trades, "bytes": 0, "seconds": 1.0, "per_second": 1.0},
        "live": {
            "trades": trades,
            "seconds": 1.0,
            "per_second": 1.0,
            "early": 0,
            "delay_ms": TIMES,
        },
        "resumes": {
            "count": streams,
            "absent": 0,
            "given_up": 0,
            "first_event_ms": TIMES,
            "away_ms": TIMES | {"max": 4_500.0},
        },
        "ids": {
            "lost": 0,
            "duplicates": 0,
            "resets": 0,
            "malformed": 0,
            "mismatches": 0,
            "verified": 0,
            "unjudged": 0,
            "gaps": {},
            "behind": {"streams": 0, "events": 0},
            "examples": [],
        },
        "closes": {"end of test": streams},
        "refusals": {},
        "client": {
            "cpu_user": 1.0,
            "cpu_system": 1.0,
            "memory": 1,
            "busiest": 0.5,
            "saturated": False,
        },
    }
    parts = {name: part | dict(changes.get(name, {})) for name, part in sound.items()}
    return msgspec.convert({"version": 1, "seconds": 1.0, **parts}, Report)


def test_a_storm_is_over_when_the_last_client_is_back():
    assert [row.met for row in storm.rows(report())] == [True, True]
    late = storm.rows(report(resumes={"away_ms": TIMES | {"max": 10_001.0}}))
    assert [row.met for row in late] == [False, True]
    assert "the last after 10.0 s" in late[0].figure


@pytest.mark.parametrize(
    "harm",
    [
        {"ids": {"lost": 1}},
        {"ids": {"duplicates": 1}},
        {"ids": {"resets": 1}},
        {"ids": {"mismatches": 1}},
        {"ids": {"gaps": {"unknown_id": 1}}},
        {"ids": {"behind": {"streams": 1, "events": 3}}},
        {"resumes": {"count": 9}},
    ],
)
def test_a_storm_in_which_one_client_is_harmed_has_failed(harm: Mapping[str, Any]):
    assert storm.rows(report(**harm))[1].met is False


def test_newcomers_are_judged_by_the_slowest_hundredth():
    assert newcomer.rows(report(), 19_000, 0.1)[0].met
    slow = report(opening={"first_event_ms": TIMES | {"p99": 10.5}})
    assert newcomer.rows(slow, 19_000, 0.1)[0].met is False


def test_heartbeats_are_judged_by_the_share_of_a_core():
    alone = heartbeats.Quiet(15, 0.001, 0.001, 0)
    quiet = heartbeats.Quiet(60, 0.005, 0.012, 76_000)
    row, _ = heartbeats.rows(quiet, alone, 0.015, 19_000)
    assert row.met
    assert row.figure.startswith(
        "1.70 % of a core (0.50 user, 1.20 system; 0.20 % with one stream)"
    )
    assert row.figure.endswith("76,000 written, 76,000 due")
    assert heartbeats.rows(quiet._replace(system=0.016), alone, 0.015, 19_000)[0].met is False


def test_heartbeats_that_were_not_written_cost_nothing_and_count_for_nothing():
    alone = heartbeats.Quiet(15, 0.001, 0.001, 0)
    lazy = heartbeats.Quiet(60, 0.001, 0.001, 70_000)
    assert heartbeats.rows(lazy, alone, 0.015, 19_000)[0].met is False


def test_memory_of_streams_on_wallets_of_their_own_is_the_growth_by_stream():
    held = wallets.Held(50_000_000, 240_000_000, 45.0, 900.0, 316.0)
    memory, looks = wallets.rows(held, 19_000)
    assert memory.met is False
    assert memory.figure.startswith("10.0 KB a stream (240 MB in all, 50 MB before)")
    assert looks.figure.endswith("28 % of a core")


def test_a_stall_counts_only_beside_the_events_that_were_due():
    late = stall.Late(1.0, 9.0, 12.0, 20.0)
    seen = stall.Seen(late, late, 100, 100.0, 0.6, 20.0)
    assert [row.met for row in stall.rows(seen, 15_000, 5)] == [True, True, True]
    assert [row.met for row in stall.rows(seen._replace(events=90), 15_000, 5)][2] is False
    later = late._replace(p99=10.5, longest=51.0)
    rows = stall.rows(seen._replace(wall=later), 15_000, 5)
    assert [row.met for row in rows] == [False, False, True]


def test_a_late_timer_counts_for_everyone_it_kept_waiting():
    quick = watched.waits(0.0004)
    assert quick == [0.0004]
    assert watched.waits(-0.0001) == [0.0]
    assert watched.waits(0.0035) == pytest.approx([0.0035, 0.0025, 0.0015, 0.0005])


COST = hundred_thousand.Cost(500_000_000, 600_000_000, 2_000_000_000, 0.9, 0.8)


def hold(**changes: Mapping[str, Any]) -> bool | None:
    """Whether 100,000 streams that get 300 events in 300 s reach the target."""
    sound = [report(20_000, 300 * 20_000, resumes={"count": 0}) for _ in range(4)]
    last = report(20_000, 300 * 20_000, **changes)
    return hundred_thousand.rows([*sound, last], 300, 300.0, COST)[0].met


def test_a_hundred_thousand_are_held_when_each_got_everything():
    assert hold()
    assert not hold(live={"trades": 300 * 20_000 - 1})
    assert not hold(ids={"duplicates": 1})
    assert not hold(closes={"end of test": 19_999, "dropped": 1})
    assert not hold(opening={"opened": 19_999})


def test_fewer_or_shorter_is_not_what_was_to_be_held():
    few = [report(1_000, 300 * 1_000)]
    assert hundred_thousand.rows(few, 300, 300.0, COST)[0].met is False
    brief = [report(100_000, 30 * 100_000)]
    row = hundred_thousand.rows(brief, 30, 30.0, COST)[0]
    assert row.met is False
    assert row.figure.startswith("100,000 held for 30 s, 30 events to each")


def test_a_delay_is_that_of_the_slowest_nodes_clients():
    late = {"delay_ms": TIMES | {"p99": 21.0}, "per_second": 1_200.0}
    soon = {"per_second": 1_200.0}
    assert [row.met for row in nodes.delay_rows([report(live=soon)] * 3)] == [True, True]
    found = nodes.delay_rows([report(live=soon), report(live=late)])
    assert [row.met for row in found] == [False, True]
    assert [row.met for row in nodes.delay_rows([report()])] == [True, False]


def test_a_load_is_judged_by_commands_and_memory_of_an_event():
    sound = nodes.Load(100, 2.0, {"xadd": 200, "hset": 100}, 1_000, 1_200, 2_000)
    assert [row.met for row in nodes.load_rows(sound)] == [None, True, True]
    assert nodes.load_rows(sound)[0].figure.startswith("50 events/s")
    asked = sound._replace(commands={"xadd": 301})
    assert [row.met for row in nodes.load_rows(asked)] == [None, False, True]
    large = sound._replace(streams=1_201)
    assert [row.met for row in nodes.load_rows(large)] == [None, True, False]


@pytest.mark.parametrize(
    ("changes", "shares", "met"),
    [
        ({}, (4, 3, 3), [True, True, True]),
        ({}, (6, 3, 1), [True, False, True]),
        ({"ids": {"lost": 1}}, (4, 3, 3), [False, True, True]),
        ({"ids": {"duplicates": 1}}, (4, 3, 3), [False, True, True]),
        ({"ids": {"gaps": {"reset": 1}}}, (4, 3, 3), [False, True, True]),
        ({"resumes": {"absent": 1}}, (4, 3, 3), [False, True, True]),
        ({"resumes": {"away_ms": TIMES | {"p50": 1_000.0}}}, (4, 3, 3), [True, True, False]),
    ],
)
def test_a_rolling_restart_loses_nobody_and_overloads_no_node(
    changes: Mapping[str, Mapping[str, Any]], shares: tuple[int, ...], met: list[bool]
):
    away = {"away_ms": TIMES | {"p50": 10_000.0}} | dict(changes.get("resumes", {}))
    spread = {**changes, "resumes": away}
    found = nodes.restart_rows(report(**spread), 20, shares)
    assert [row.met for row in found] == met
