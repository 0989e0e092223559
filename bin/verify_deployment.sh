#!/usr/bin/env bash
# Looks at a running server from outside and says what is wrong with it. `--help` says how.
set -uo pipefail

usage() {
    cat <<'TEXT'
usage: bin/verify_deployment.sh [--json] [--no-integration]

Checks a running server: health, metrics, a stream, response times, headers, who can write its settings
file, and the integration tests. Exit code: 0 if all passed, 1 if one failed, 2 for a wrong argument.

  --json            one JSON object instead of lines
  --no-integration  leave out the integration tests, which take a minute

API_URL        the server (http://127.0.0.1:5000)
TEST_API_KEY   a key, where the server asks for one: with 50 streams and no limit of requests, as from
               bin/wd-keys create --name verify --streams 60 --requests 0 --expires 1h
VERIFY_AUTH    true: that callers without a key and with a wrong one are refused, and this one isn't
TEST_WALLET    a wallet with trades, for the integration tests
METRICS_TOKEN  for /metrics, where it isn't open to this machine
DEPLOY_ROOT    where bin/deploy.sh put it, for the settings file of --process (/opt/wd-server)
TRIES          requests that response times are taken from (20)
HEALTH_MS, METRICS_MS, FIRST_EVENT_MS
               what 95 of 100 answers may take (100, 50, 500); more where the way there is long
TEXT
}

# Milliseconds that 95 of 100 answers may take at most.
readonly HEALTH_MS=${HEALTH_MS:-100} METRICS_MS=${METRICS_MS:-50} FIRST_EVENT_MS=${FIRST_EVENT_MS:-500}
# Seconds for an answer, and for a whole stream of a wallet without trades.
readonly ANSWER_SECONDS=10 STREAM_SECONDS=30
# An address that nobody has the key of, and so without a trade.
readonly NOBODY=1nc1nerator11111111111111111111111111111112
# What the public contract names.
readonly METRICS="active_streams:gauge total_streams:counter total_events:counter
    total_trades:counter error_rate:gauge bytes_sent:counter"
readonly SECURITY_HEADERS="x-content-type-options:nosniff x-frame-options:DENY x-xss-protection:1
    referrer-policy:no-referrer content-security-policy:"

passed=0 failed=0 skipped=0 records=()
as_json=no integration=yes

are_numbers() { # text...
    local each
    for each in "$@"; do [[ $each =~ ^(0|[1-9][0-9]{0,5})$ ]] || return 1; done
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --json) as_json=yes ;;
        --no-integration) integration=no ;;
        --help | -h)
            usage
            exit 0
            ;;
        *)
            printf 'verify: what is %s? See --help.\n' "$1" >&2
            exit 2
            ;;
        esac
        shift
    done
    if [ "$tries" = 0 ] || ! are_numbers "$tries" "$HEALTH_MS" "$METRICS_MS" "$FIRST_EVENT_MS"; then
        printf 'verify: TRIES, HEALTH_MS, METRICS_MS and FIRST_EVENT_MS are whole numbers, TRIES from 1.\n' >&2
        exit 2
    fi
}

# What is said.

json_string() {
    local text=$1
    text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n} text=${text//$'\t'/ }
    printf '"%s"' "$(tr -d '\000-\037' <<<"$text")"
}

# An answer may hold what a terminal would obey.
printable() { tr -d '\000-\010\013-\037\177'; }

record() { # status colour name detail [hint] [figures as JSON]
    local detail hint=${5:-} figures=${6:-}
    if [ "$as_json" = yes ]; then
        records+=("{\"check\":$(json_string "$3"),\"status\":\"$1\",\"detail\":$(json_string "$4")${hint:+,\"hint\":$(json_string "$hint")}${figures:+,$figures}}")
        return
    fi
    detail=$(printable <<<"$4")
    if [ -t 1 ]; then printf '\033[%sm%-4s\033[0m %s: %s\n' "$2" "$1" "$3" "$detail"; else printf '%-4s %s: %s\n' "$1" "$3" "$detail"; fi
    [ -z "$hint" ] || printf '     %s\n' "$hint"
}

pass() { # name detail [figures]
    passed=$((passed + 1))
    record pass 32 "$1" "$2" '' "${3:-}"
}
wrong() { # name detail hint [figures]
    failed=$((failed + 1))
    record FAIL 31 "$1" "$2" "Look at: $3" "${4:-}"
}
skip() { # name reason
    skipped=$((skipped + 1))
    record skip 33 "$1" "$2"
}

# Requests. Keys go to curl in files, since everybody sees arguments.

request() { # path [curl's arguments]: sets status, body, header_file
    local path=$1
    shift
    header_file=$folder/headers
    : >"$header_file"
    status=$(curl -sS --max-time "$ANSWER_SECONDS" -D "$header_file" -o "$folder/body" \
        -w '%{http_code}' "$@" "$url$path" 2>"$folder/error") || status=000
    [ "$status" != 000 ] || cp "$folder/error" "$folder/body"
    body=$(head -c 2000 "$folder/body" 2>/dev/null | tr -d '\000')
}

header() { # name
    tr -d '\r' <"$header_file" | sed -n "s/^$1: *//Ip" | tail -n 1
}

# The 50th and 95th percentile and the highest of lines of seconds, in milliseconds.
percentiles() {
    LC_ALL=C sort -n | LC_ALL=C awk '{ t[NR] = $1 * 1000 }
        function rank(share) { i = int(NR * share + 0.999999); return t[i < 1 ? 1 : i] }
        END { if (NR) printf "%.1f %.1f %.1f", rank(0.5), rank(0.95), t[NR] }'
}

# Checks.

check_health() {
    local path
    request /health
    if [ "$status" = 200 ] && grep -Eq '"status": ?"(healthy|degraded)"' <<<"$body"; then
        pass health "$(grep -Eo '"status": ?"[a-z]+"' <<<"$body" | cut -d '"' -f 4), version $(grep -Eo '"version": ?"[^"]*"' <<<"$body" | cut -d '"' -f 4)"
    else
        wrong health "$status: $body" "\"dependencies\" in it, and the log (journalctl -u walletdoctor)"
    fi
    for path in /health/live /health/ready; do
        request "$path"
        if [ "$status" = 200 ]; then pass "$path" 200; else
            wrong "$path" "$status: $body" "/health, which says why; the log"
        fi
    done
}

check_metrics() {
    local each name kind missing=() odd
    request /metrics "${metrics_key[@]}"
    if [ "$status" = 403 ] || [ "$status" = 404 ]; then
        if [ ${#metrics_key[@]} -eq 0 ] && [ "$is_local" = no ]; then
            skip metrics "$status, closed to this machine, as it should be; METRICS_TOKEN opens it"
        else
            wrong metrics "$status: $body" "METRICS_ALLOW and METRICS_TOKEN of the server and here"
        fi
        return
    fi
    if [ "$status" != 200 ] || [[ $(header content-type) != text/plain* ]]; then
        wrong metrics "$status, $(header content-type)" "the log for the error behind it"
        return
    fi
    for each in $METRICS; do
        name=walletdoctor_${each%:*} kind=${each#*:}
        { grep -q "^# TYPE $name $kind\$" "$folder/body" &&
            grep -Eq "^$name [0-9.e+]+\$" "$folder/body"; } || missing+=("$name")
    done
    if [ ${#missing[@]} -eq 0 ]; then pass metrics "$(grep -vc '^#' "$folder/body") samples"; else
        wrong metrics "without ${missing[*]}" "the server's version: docs/settings.md belongs to another one"
    fi
    # A name, labels, a number, perhaps a time (Prometheus' text format, 0.0.4).
    odd=$(grep -Ev '^#|^$|^[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\]|\\.)*",?)*\})? ([-+]?[0-9.]+(e[-+]?[0-9]+)?|[+-]Inf|NaN)( [0-9]+)?$' "$folder/body" | head -n 3)
    if [ -z "$odd" ]; then pass "metrics' format" "every line can be read"; else
        wrong "metrics' format" "$odd" "a proxy that changes the text, or the log"
    fi
    check_promtool
}

# Its complaint about counters without _total is known: the contract keeps these names.
check_promtool() {
    command -v promtool >/dev/null || {
        skip promtool "isn't installed here"
        return
    }
    local said
    said=$(promtool check metrics <"$folder/body" 2>&1 | grep -v 'counter metrics should have "_total" suffix')
    if [ -z "$said" ]; then pass promtool "no complaint"; else
        wrong promtool "$said" "GET /metrics, at the metric that is named"
    fi
}

# A request for an event stream of a wallet without trades.
open_stream() { # [curl's arguments]
    request "/v4/wallet/$NOBODY/stream" --max-time "$STREAM_SECONDS" -N -H 'Accept: text/event-stream' "$@"
}

check_auth() {
    if [ "${VERIFY_AUTH:-}" != true ]; then
        skip authentication "VERIFY_AUTH=true checks it"
        return
    fi
    local hint="API_KEY_REQUIRED of the server; whether it asks the same Redis as bin/wd-keys"
    open_stream
    if [ "$status" = 401 ] && [ -n "$(header www-authenticate)" ]; then pass "without a key" 401; else
        wrong "without a key" "$status: $body" "$hint"
    fi
    printf 'Authorization: Bearer wd_%032d\n' 0 >"$folder/wrong-key"
    open_stream -H "@$folder/wrong-key"
    if [ "$status" = 401 ]; then pass "with a wrong key" 401; else
        wrong "with a wrong key" "$status: $body" "$hint"
    fi
    if [ -z "${TEST_API_KEY:-}" ]; then
        wrong "with a valid key" "TEST_API_KEY isn't set" "bin/wd-keys create --name verify --streams 60 --requests 0 --expires 1h"
        return
    fi
    open_stream "${key[@]}"
    if [ "$status" = 200 ]; then pass "with a valid key" 200; else
        wrong "with a valid key" "$status: $body" "bin/wd-keys list: is it live, has it streams left? $hint"
    fi
}

# Live: it stays after `complete`, so it is cut off as soon as the first event is there.
check_stream() {
    local first='' line said='' started=${EPOCHREALTIME/[.,]/} took
    exec 3< <(exec curl -sSN --max-time "$ANSWER_SECONDS" -H 'Accept: text/event-stream' "${key[@]}" \
        "$url/v4/wallet/$NOBODY/stream?follow=true" 2>&1)
    while IFS= read -r line <&3 || [ -n "$line" ]; do
        said+="$line "
        case $line in event:*)
            first=${line#event: }
            break
            ;;
        esac
    done
    kill $! 2>/dev/null
    exec 3<&-
    took=$(((${EPOCHREALTIME/[.,]/} - started) / 1000))
    if [ "$first" = connected ]; then
        pass stream "connected; first event after $took ms" "\"first_event_ms\":$took"
    else
        wrong stream "no event: ${said:0:300}" \
            "$([ -n "${TEST_API_KEY:-}" ] || printf 'TEST_API_KEY, if the server asks for keys; ')proxies that buffer (docs/streams.md); STREAMING_ENABLED"
    fi
    open_stream "${key[@]}"
    if [ "$status" = 200 ] && [[ $(header content-type) == text/event-stream* ]] &&
        grep -q '^event: complete$' "$folder/body"; then
        pass "a stream's end" "complete"
    else
        wrong "a stream's end" "$status: $(tail -n 3 "$folder/body" 2>/dev/null)" "\"dependencies\" of /health: HELIUS_KEY, the upstream's quota"
    fi
}

check_404() {
    request /no/such/path
    if [ "$status" = 404 ] && [[ $(header content-type) == application/problem+json* ]]; then
        pass "unknown path" "404 as problem+json"
    else
        wrong "unknown path" "$status, $(header content-type)" "whether a proxy or another server answers at $url"
    fi
}

check_headers() {
    local each name value missing=() wanted=$SECURITY_HEADERS
    request /health
    [[ $url != https://* ]] || wanted+=" strict-transport-security:max-age="
    for each in $wanted; do
        name=${each%%:*} value=${each#*:}
        { [ -n "$(header "$name")" ] && [[ $(header "$name") == "$value"* ]]; } || missing+=("$name")
    done
    if [ ${#missing[@]} -eq 0 ]; then pass "security headers" "all there"; else
        wrong "security headers" "missing or wrong: ${missing[*]}" "the proxy's configuration (conf/nginx)"
    fi
}

# How long `request` of a path takes, in 95 of 100 tries, without the time to connect.
check_time() { # name limit path curl's-arguments...
    local name=$1 limit=$2 path=$3 count median high most figures
    shift 3
    for ((count = 0; count < tries; count++)); do
        curl -sN --max-time "$STREAM_SECONDS" -o /dev/null -w '%{http_code} %{time_connect} %{time_starttransfer}\n' \
            "$@" "$url$path" || true
    done | awk '$1 == 200 { print $3 - $2 }' >"$folder/times"
    count=$(wc -l <"$folder/times")
    if [ "$count" -lt "$tries" ]; then
        wrong "$name" "$((tries - count)) of $tries requests failed" "the limit of requests (TEST_API_KEY), /health, the log"
        return
    fi
    read -r median high most < <(percentiles <"$folder/times"; echo)
    figures="\"limit_ms\":$limit,\"p50_ms\":$median,\"p95_ms\":$high,\"max_ms\":$most"
    if awk "BEGIN { exit !($high < $limit) }"; then
        pass "$name" "p50 $median ms, p95 $high ms, max $most ms of $tries (limit $limit ms)" "$figures"
    else
        wrong "$name" "p50 $median ms, p95 $high ms, max $most ms of $tries (limit $limit ms)" \
            "walletdoctor_event_loop_lag_seconds, the processor, the network between" "$figures"
    fi
}

check_times() {
    check_time "health's time" "$HEALTH_MS" /health
    [ "$status_of_metrics" != 200 ] || check_time "metrics' time" "$METRICS_MS" /metrics "${metrics_key[@]}"
    check_time "first event's time" "$FIRST_EVENT_MS" "/v4/wallet/$NOBODY/stream" -H 'Accept: text/event-stream' "${key[@]}"
}

# Where bin/deploy.sh keeps them. Who deploys reads them, so nobody else may write there: neither the
# service's user, as before, nor the group.
check_settings_files() {
    local file
    [ "$is_local" = yes ] || return 0
    for file in /etc/wd-server/env "${DEPLOY_ROOT:-/opt/wd-server}/env"; do
        [ -e "$file" ] || continue
        if [ "$(stat -c %u "$file")" = "$(stat -c %u "$(dirname "$file")")" ] &&
            [ -z "$(find "$file" -maxdepth 0 -perm /027)" ]; then
            pass "settings file" "$(stat -c '%n: mode %a of %U' "$file")"
        else
            wrong "settings file" "$(stat -c '%n: mode %a of %U' "$file")" \
                "check its content, then run bin/deploy.sh, which makes the deploying user its owner: whoever can write to it changes what root reads"
        fi
    done
}

check_integration() {
    local python=$source/.venv/bin/python said
    if [ "$integration" = no ]; then
        skip "integration tests" "left out"
    elif ! "$python" -c 'import pytest' 2>/dev/null; then
        wrong "integration tests" "pytest isn't installed" "make .venv/.test installs it; --no-integration leaves them out"
    elif said=$(cd "$source" && API_URL=$url "$python" -m pytest -q tests/test_sse_integration.py 2>&1); then
        pass "integration tests" "$(tail -n 1 <<<"$said")"
    else
        wrong "integration tests" "$(grep -E '^(FAILED|ERROR)|^[0-9]+ (failed|passed)' <<<"$said" | head -n 10)" \
            "API_URL=$url .venv/bin/python -m pytest tests/test_sse_integration.py; whether TEST_WALLET has trades, and TEST_API_KEY room for 50 streams"
    fi
}

main() {
    local tries=${TRIES:-20}
    parse "$@"
    local status='' body='' header_file='' status_of_metrics
    command -v curl >/dev/null || {
        printf 'verify: curl is missing. On Debian: apt-get install curl\n' >&2
        exit 1
    }
    source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    url=${API_URL:-http://127.0.0.1:5000}
    url=${url%/}
    case $url in http://127.* | http://localhost* | http://\[::1\]*) is_local=yes ;; *) is_local=no ;; esac
    umask 077
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    key=() metrics_key=()
    if [ -n "${TEST_API_KEY:-}" ]; then
        printf 'Authorization: Bearer %s\n' "$TEST_API_KEY" >"$folder/key"
        key=(-H "@$folder/key")
    fi
    if [ -n "${METRICS_TOKEN:-}" ]; then
        printf 'Authorization: Bearer %s\n' "$METRICS_TOKEN" >"$folder/metrics-key"
        metrics_key=(-H "@$folder/metrics-key")
    fi
    [ "$as_json" = yes ] || printf 'Checking %s\n' "$url"
    check_health
    check_metrics
    status_of_metrics=$status
    check_auth
    check_stream
    check_404
    check_headers
    check_times
    check_settings_files
    check_integration
    if [ "$as_json" = yes ]; then
        printf '{"url":%s,"passed":%d,"failed":%d,"skipped":%d,"checks":[%s]}\n' "$(json_string "$url")" \
            "$passed" "$failed" "$skipped" "$(IFS=,; printf '%s' "${records[*]}")"
    else
        printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
    fi
    [ "$failed" -eq 0 ]
}

main "$@"
