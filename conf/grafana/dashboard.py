"""The dashboard as a table. `make docs` writes wd-server.json from it, which Grafana imports.

`$instance` and `$__rate_interval` are Grafana's; tests put values in their place and ask a real
Prometheus for every query.
"""

import json
import sys
from dataclasses import dataclass
from typing import Any

# Grafana's grid is 24 wide.
PANEL_WIDTH, PANEL_HEIGHT, ROW_HEIGHT = 8, 7, 1
SCHEMA_VERSION = 37  # of Grafana 9; later ones read it


@dataclass(frozen=True)
class Panel:
    """`unit` is Grafana's word for it; `queries` are (legend, PromQL)."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]


def of(metric: str) -> str:
    """A metric of the instances chosen."""
    return f'{metric}{{instance=~"$instance"}}'


def rate(metric: str, by: str = "") -> str:
    return f"sum by ({by}) (rate({of(metric)}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "") -> str:
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', f'le{by}')})"


def quantiles(histogram: str) -> tuple[tuple[str, str], ...]:
    named = (("median", 0.5), ("95 %", 0.95), ("99 %", 0.99))
    return tuple((name, quantile(share, histogram)) for name, share in named)


def total(metric: str) -> str:
    return f"sum by (instance) ({of(metric)})"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Streams",
        (
            Panel(
                "Open streams",
                "short",
                (
                    ("{{instance}}", total("walletdoctor_active_streams")),
                    ("limit {{instance}}", total("walletdoctor_streams_limit")),
                ),
            ),
            Panel(
                "Opened and refused",
                "ops",
                (
                    ("opened", rate("walletdoctor_total_streams")),
                    ("{{code}}", rate("walletdoctor_streams_refused_total", "code")),
                ),
            ),
            Panel(
                "Closed, by reason",
                "ops",
                (("{{reason}}", rate("walletdoctor_streams_closed_total", "reason")),),
            ),
            Panel(
                "Streams with errors",
                "percent",
                (("{{instance}}", of("walletdoctor_error_rate")),),
            ),
            Panel(
                "Resumed, by outcome",
                "ops",
                (("{{outcome}}", rate("walletdoctor_resumes_total", "outcome")),),
            ),
            Panel(
                "Age of a stream at its end",
                "s",
                quantiles("walletdoctor_stream_duration_seconds"),
            ),
        ),
    ),
    (
        "Delays",
        (
            Panel(
                "Request to first event", "s", quantiles("walletdoctor_time_to_first_event_seconds")
            ),
            Panel("Stored to socket", "s", quantiles("walletdoctor_publish_to_socket_seconds")),
            Panel(
                "Lateness of the event loop", "s", quantiles("walletdoctor_event_loop_lag_seconds")
            ),
            Panel(
                "Journal, 95 %",
                "s",
                (
                    ("append", quantile(0.95, "walletdoctor_journal_append_seconds")),
                    ("read", quantile(0.95, "walletdoctor_journal_read_seconds")),
                ),
            ),
            Panel(
                "Time to read a wallet, 95 %, by its transactions",
                "s",
                (
                    (
                        "up to {{transactions}}",
                        quantile(0.95, "walletdoctor_backfill_duration_seconds", ", transactions"),
                    ),
                ),
            ),
            Panel(
                "Clients that fell behind",
                "ops",
                (
                    ("fell behind", rate("walletdoctor_slow_demotions_total")),
                    ("events replayed", rate("walletdoctor_replayed_events_total")),
                ),
            ),
        ),
    ),
    (
        "Volume",
        (
            Panel(
                "Events",
                "ops",
                (
                    ("events", rate("walletdoctor_total_events")),
                    ("trades", rate("walletdoctor_total_trades")),
                    ("stored", rate("walletdoctor_journal_entries_total")),
                ),
            ),
            Panel("Bytes", "Bps", (("{{instance}}", rate("walletdoctor_bytes_sent", "instance")),)),
            Panel(
                "Requests let in and refused",
                "ops",
                (
                    ("asked", rate("walletdoctor_access_checks_total")),
                    ("{{code}}", rate("walletdoctor_access_refused_total", "code")),
                ),
            ),
        ),
    ),
    (
        "Upstream",
        (
            Panel(
                "Requests to the Solana RPC",
                "ops",
                (
                    (
                        "{{method}} {{outcome}}",
                        rate("walletdoctor_upstream_calls_total", "method, outcome"),
                    ),
                ),
            ),
            Panel(
                "Credits an hour, by method",
                "short",
                (
                    (
                        "{{method}}",
                        f"3600 * {rate('walletdoctor_upstream_credits_total', 'method')}",
                    ),
                ),
            ),
            Panel(
                "Wallets being read, and a plan that is used up",
                "short",
                (
                    ("being read {{instance}}", total("walletdoctor_analyses_running")),
                    ("used up {{instance}}", total("walletdoctor_upstream_quota_exhausted")),
                ),
            ),
        ),
    ),
    (
        "Pushed",
        (
            Panel(
                "Told of by the upstream",
                "ops",
                (
                    ("told", rate("walletdoctor_upstream_notifications_total")),
                    ("taken without a pass", rate("walletdoctor_analysis_pushed_total")),
                    ("delivered to the webhook", rate("walletdoctor_webhook_transactions_total")),
                    ("subscriptions lost", rate("walletdoctor_upstream_breaks_total")),
                ),
            ),
            Panel(
                "Subscriptions and their connections",
                "short",
                (
                    ("subscriptions {{instance}}", total("walletdoctor_upstream_subscriptions")),
                    ("connections {{instance}}", total("walletdoctor_upstream_connections")),
                ),
            ),
            Panel(
                "Deliveries, by what became of them",
                "short",
                (
                    (
                        "{{outcome}} a second",
                        rate("walletdoctor_webhook_outcomes_total", "outcome"),
                    ),
                    ("waiting {{instance}}", total("walletdoctor_webhook_waiting")),
                ),
            ),
        ),
    ),
    (
        "Redis",
        (
            Panel(
                "Redis answers", "short", (("{{instance}}", of("walletdoctor_redis_available")),)
            ),
            Panel("Redis calls", "s", quantiles("walletdoctor_redis_call_seconds")),
            Panel(
                "Redis failures, by kind",
                "ops",
                (("{{kind}}", rate("walletdoctor_redis_failures_total", "kind")),),
            ),
        ),
    ),
    (
        "Process",
        (
            Panel(
                "Processor",
                "percentunit",
                (("{{instance}}", rate("process_cpu_seconds_total", "instance")),),
            ),
            Panel(
                "Memory and journal",
                "bytes",
                (
                    ("memory {{instance}}", total("process_resident_memory_bytes")),
                    ("journal {{instance}}", total("walletdoctor_journal_file_bytes")),
                ),
            ),
            Panel(
                "Open files",
                "short",
                (
                    ("{{instance}}", total("process_open_fds")),
                    ("limit {{instance}}", total("process_max_fds")),
                ),
            ),
            Panel(
                "Up since",
                "s",
                (("{{instance}}", f"time() - {total('process_start_time_seconds')}"),),
            ),
            Panel(
                "Versions",
                "short",
                (("{{version}}", f"sum by (version) ({of('walletdoctor_build_info')})"),),
            ),
            Panel(
                "Keys can't be read", "short", (("{{instance}}", of("walletdoctor_access_stale")),)
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """What Grafana imports."""
    return {
        "uid": "wd-server",
        "title": "wd-server",
        "description": "Streams of wallets' trades. Written by conf/grafana/dashboard.py.",
        "tags": ["wd-server"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,  # one cross over all panels
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [_source_variable(), _instance_variable()]},
        "annotations": {"list": [_alerts()]},
        "panels": _panels(),
    }


def _source_variable() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _instance_variable() -> dict[str, Any]:
    query = "label_values(walletdoctor_active_streams, instance)"
    return {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instance"},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"WdServer.*", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{instance}}",
    }


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": 24, "h": ROW_HEIGHT},
            }
        )
        top += ROW_HEIGHT
        in_a_row = 24 // PANEL_WIDTH
        for number, panel in enumerate(row):
            left, below = number % in_a_row * PANEL_WIDTH, number // in_a_row * PANEL_HEIGHT
            place = {"x": left, "y": top + below, "w": PANEL_WIDTH, "h": PANEL_HEIGHT}
            panels.append(_timeseries(panel, place))
        top += -(-len(row) // in_a_row) * PANEL_HEIGHT
    for number, each in enumerate(panels, 1):
        each["id"] = number
    return panels


def _timeseries(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expr}
            | {"legendFormat": legend}
            for number, (legend, expr) in enumerate(panel.queries)
        ],
    }


_SOURCE = {"type": "prometheus", "uid": "${source}"}


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")
