#!/usr/bin/env bash
# Installs the version in this checkout as a release of its own, switches to it and restarts the
# service. `bin/deploy.sh --help` says how; docs/operations.md has the rest.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: bin/deploy.sh [--dry-run] [--rollback] [--instances "PORT PORT ..."] [--process]

Builds a release from this checkout, checks the settings, switches to it, restarts the service and
waits until it is healthy. If it isn't, the previous version runs again and the exit code is 1.

  --dry-run     validate, say what would be done, and change nothing
  --rollback    go back to the release that ran before this one
  --instances   run wd-server@PORT for each port and replace them one after the other; kept until
                other ports are named, or "" for the single walletdoctor.service
  --process     a background process with a pid file and a log, even where systemd runs

Settings: what is exported under a name of docs/settings.md goes into the settings file and stays
there. Needed: ENV, HELIUS_KEY, SECRET_KEY, REDIS_URL (only ENV with ENV=development).

DEPLOY_ROOT     where releases are (as root /opt/wd-server, else ~/wd-server)
PYTHON          the interpreter that a release is made with, 3.11 or later
HEALTH_SECONDS  how long the new version may take until it is healthy (60)

Exit codes: 0 deployed; 1 not deployed, and what ran before runs; 2 a wrong argument; 78 wrong
settings.
TEXT
}

# Releases that are kept besides the present and the previous one.
readonly KEPT_RELEASES=3
# Seconds after DRAIN_SECONDS until a process that goes on is killed (TimeoutStopSec).
readonly STOP_MARGIN=40
readonly USER_NAME=wd-server
readonly CONFIG=78
# What a release is made of.
readonly PARTS=(bin conf docs handlers wd_server CHANGELOG.md LICENSE README.md pyproject.toml
    requirements.lock setup.py)

say() { printf '%s\n' "$*"; }
complain() { printf 'deploy: %s\n' "$*" >&2; }
fail() {
    complain "$*"
    exit 1
}

# Settings.

# The names that docs/settings.md has.
setting_names() { sed -n 's/^#\{0,1\}\([A-Z_]*\)=.*/\1/p' "$source/conf/env.example"; }

# A setting's value in a file, as wd_server/env_file.py reads it: of two the later, without quotes.
setting() { # file name default
    local value
    value=$(sed -n "s/^[[:space:]]*$2[[:space:]]*=[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*$/\1/p" "$1" | tail -n 1)
    case $value in
    \"*\" | \'*\') value=${value:1:${#value}-2} ;;
    esac
    printf '%s' "${value:-$3}"
}

# The settings file as it is to be: what the environment sets comes before what was there.
merged_settings() {
    local line name
    if [ -f "$env_file" ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            name=${line%%=*}
            name=${name//[[:space:]]/}
            [[ " $exported " == *" $name "* ]] || printf '%s\n' "$line"
        done <"$env_file"
    fi
    for name in $exported; do
        printf '%s="%s"\n' "$name" "${!name}"
    done
}

exported_settings() {
    local name
    for name in $(setting_names); do
        [ -n "${!name:-}" ] || continue
        case ${!name} in
        *$'\n'*)
            complain "$name has more than one line."
            exit $CONFIG
            ;;
        esac
        printf '%s ' "$name"
    done
}

require_settings() { # file
    local name missing=() needed=(ENV HELIUS_KEY SECRET_KEY REDIS_URL)
    [ "$(setting "$1" ENV '')" = development ] && needed=(ENV)
    for name in "${needed[@]}"; do
        [ -n "$(setting "$1" "$name" '')" ] || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    complain "missing: ${missing[*]}. Export them (docs/settings.md says what each is), or write them into $env_file."
    exit $CONFIG
}

# Releases.

release_name() {
    local version digest
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$source/wd_server/__init__.py")
    digest=$(cd "$source" &&
        find "${PARTS[@]}" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z |
        xargs -0 sha256sum | sha256sum | cut -c 1-12)
    printf '%s-%s' "$version" "$digest"
}

# With a virtual environment of its own from the lock. What was interrupted begins anew.
build() { # release
    local folder=$releases/$1
    [ -e "$folder/.complete" ] && return 0
    say "Building $1."
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$source" && tar -cf - --exclude=__pycache__ "${PARTS[@]}") |
        tar -xf - -C "$folder" --no-same-owner
    "$source/.ci/venv" "$folder/.venv"
    "$folder/.venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$folder/requirements.lock"
    (cd "$folder" && .venv/bin/pip install --quiet --disable-pip-version-check --no-deps \
        --no-build-isolation . && rm -rf build ./*.egg-info)
    chmod -R go+rX,go-w "$folder"
    touch "$folder/.complete"
}

link() { # name release: in one step, so that there is always one
    ln -sfn "releases/$2" "$root/.$1" && mv -T "$root/.$1" "$root/$1"
}

linked() { # name
    basename "$(readlink "$root/$1" 2>/dev/null || true)"
}

prune() {
    local folder count=0
    while IFS= read -r folder; do
        case $(basename "$folder") in "$(linked current)" | "$(linked previous)") continue ;; esac
        count=$((count + 1))
        [ $count -le $KEPT_RELEASES ] || rm -rf "$folder"
    done < <(ls -1dt "$releases"/*/)
}

# The service.

unit() { # port
    if [ -n "$instances" ]; then printf 'wd-server@%s' "$1"; else printf walletdoctor; fi
}

installed_instances() {
    local link
    for link in "$units"/sockets.target.wants/wd-server@*.socket; do
        [ -L "$link" ] || continue
        link=${link##*@}
        printf '%s ' "${link%.socket}"
    done
}

# The release's units with this machine's folders, address and drain. Says which sockets have another one.
install_units() {
    local name text
    for name in walletdoctor.service walletdoctor.socket wd-server@.service wd-server@.socket; do
        text=$(sed -e "s#/opt/wd-server#$root#g" -e "s#/etc/wd-server/env#$env_file#" \
            -e "s#^ListenStream=127.0.0.1:5000#ListenStream=$host:$port#" \
            -e "s#^ListenStream=127.0.0.1:%i#ListenStream=$host:%i#" \
            -e "s#^TimeoutStopSec=.*#TimeoutStopSec=$stop_seconds#" "$root/current/conf/$name")
        if [ "$text" != "$(cat "$units/$name" 2>/dev/null)" ]; then
            printf '%s\n' "$text" >"$units/$name"
            case $name in *.socket) printf '%s ' "${name%.socket}" ;; esac
        fi
    done
    systemctl daemon-reload
}

stop_unwanted_units() {
    local unit wanted=" " each
    for each in $ports; do wanted+="$(unit "$each") "; done
    local instance installed=(walletdoctor)
    for instance in $(installed_instances); do installed+=("wd-server@$instance"); done
    for unit in "${installed[@]}"; do
        [ -L "$units/sockets.target.wants/$unit.socket" ] || continue
        [[ $wanted == *" $unit "* ]] ||
            systemctl disable --quiet --now "$unit.socket" "$unit.service"
    done
}

open_sockets() { # those that have another address
    local each name
    for each in $ports; do
        name=$(unit "$each")
        [[ " $1 " != *" ${name%@*}"* ]] || systemctl stop "$name.service" "$name.socket"
        systemctl enable --quiet "$name.socket" "$name.service"
        systemctl reset-failed "$name.socket" "$name.service" 2>/dev/null || true
        systemctl start "$name.socket"
    done
}

is_running() { # pid
    [ -n "$1" ] && kill -0 "$1" 2>/dev/null && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q wd-server
}

stop_process() {
    local pid deadline=$((SECONDS + stop_seconds))
    pid=$(cat "$pid_file" 2>/dev/null || true)
    is_running "$pid" || return 0
    kill -TERM "$pid"
    while is_running "$pid"; do
        [ $SECONDS -lt $deadline ] || kill -KILL "$pid"
        sleep 0.1
    done
}

start_process() {
    local data_dir as_user=()
    data_dir=$(setting "$env_file" DATA_DIR "$root/data")
    mkdir -p "$data_dir" "$root/log"
    chmod 700 "$data_dir"
    touch "$log"
    chmod 640 "$log"
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$USER_NAME:$USER_NAME" "$data_dir" "$log"
        chown "$USER_NAME:$USER_NAME" "$env_file"
        as_user=(setpriv --reuid="$USER_NAME" --regid="$USER_NAME" --clear-groups --no-new-privs)
    fi
    cd /
    setsid env -i PATH="$PATH" PYTHONFAULTHANDLER=1 "${as_user[@]}" "$root/current/bin/wd-server" \
        --env-file "$env_file" --data-dir "$data_dir" </dev/null >>"$log" 2>&1 9>&- &
    printf '%s\n' $! >"$pid_file"
    disown
}

# Replace what runs by what `current` points to: one after the other, each healthy before the next.
restart() {
    local each
    for each in $ports; do
        if [ "$mode" = systemd ]; then
            systemctl restart "$(unit "$each").service" || return 1
        else
            stop_process
            start_process
        fi
        await_health "$each" || return 1
        check_metrics "$each" || return 1
        say "$(url "$each") is healthy and has metrics."
    done
}

stop_all() {
    local each
    for each in $ports; do
        if [ "$mode" = systemd ]; then
            systemctl stop "$(unit "$each").service" "$(unit "$each").socket"
        else
            stop_process
        fi
    done
}

# Checks.

url() { # port
    case $host in
    0.0.0.0) printf 'http://127.0.0.1:%s' "$1" ;;
    '[::]') printf 'http://[::1]:%s' "$1" ;;
    *) printf 'http://%s:%s' "$host" "$1" ;;
    esac
}

await_health() { # port
    local answer='' deadline=$((SECONDS + ${HEALTH_SECONDS:-60})) version
    version=$(linked current)
    version=${version%-*}
    while [ $SECONDS -lt $deadline ]; do
        if answer=$(curl -sS --max-time 5 -w '\n%{http_code}' "$(url "$1")/health" 2>&1) &&
            [ "${answer##*$'\n'}" = 200 ] && [[ $answer == *"\"version\":\"$version\""* ]]; then
            return 0
        fi
        # Not is_running: until the new process has its program it doesn't have its name either.
        if [ "$mode" = process ] && ! kill -0 "$(cat "$pid_file")" 2>/dev/null; then break; fi
        sleep 0.2
    done
    complain "$(url "$1")/health isn't healthy with version $version: $answer"
    return 1
}

check_metrics() { # port
    local token answer
    token=$(setting "$env_file" METRICS_TOKEN '')
    answer=$(curl -sS --max-time 5 --config - "$(url "$1")/metrics" 2>&1 \
        <<<"${token:+header = \"Authorization: Bearer ${token//\"/\\\"}\"}") || true
    grep -q '^walletdoctor_active_streams ' <<<"$answer" && return 0
    complain "$(url "$1")/metrics has no metrics: $(head -c 300 <<<"$answer")"
    return 1
}

last_words() {
    complain "what the log says last:"
    if [ "$mode" = systemd ]; then
        local each
        for each in $ports; do
            journalctl --unit "$(unit "$each").service" --lines 10 --output cat --no-pager >&2 || true
        done
    else
        tail -n 10 "$log" >&2 || true
    fi
}

# A deployment.

fingerprint() { # release
    printf '%s %s %s %s:%s\n' "$1" "$(sha256sum <"$env_file" | cut -c 1-12)" \
        "$mode" "$host" "$ports"
}

is_deployed() { # release
    local each
    [ "$(cat "$root/deployed" 2>/dev/null)" = "$(fingerprint "$1")" ] || return 1
    for each in $ports; do
        curl -fsS --max-time 5 -o /dev/null "$(url "$each")/health" 2>/dev/null || return 1
    done
}

# What ran before runs again, with its settings. Also when this script is interrupted.
restore() {
    local status=$?
    trap - EXIT
    rm -f "$merged" "$env_file.new"
    if [ -f "$env_file.before" ]; then mv "$env_file.before" "$env_file"; fi
    if [ "$switched" = yes ]; then
        last_words
        if [ -n "$before" ]; then
            complain "going back to $before"
            find_address "$env_file"
            link current "$before"
            if activate; then complain "$before runs again"; else complain "$before doesn't run either"; fi
        else
            complain "nothing ran before: stopped"
            stop_all
            rm -f "$root/current"
        fi
    fi
    [ "$status" -ne 0 ] || status=1
    exit "$status"
}

# Have `current` run, and nothing else.
activate() {
    if [ "$mode" = systemd ]; then
        local moved
        moved=$(install_units)
        stop_unwanted_units
        open_sockets "$moved"
    fi
    restart
}

switch_to() { # release
    before=$(linked current)
    switched=yes
    link current "$1"
    activate || exit 1
    if [ -n "$before" ] && [ "$before" != "$1" ]; then link previous "$before"; fi
    fingerprint "$1" >"$root/deployed"
    switched=no
}

next_steps() {
    local first=${ports%% *} service
    service=$(unit "$first")
    say ""
    say "Next:"
    if [ "$(url "$first")" = http://127.0.0.1:5000 ]; then
        say "  bin/verify_deployment.sh"
    else
        say "  API_URL=$(url "$first") bin/verify_deployment.sh"
    fi
    say "  $root/current/bin/wd-keys --env-file $env_file create --name NAME   # a key for a caller"
    if [ "$mode" = systemd ]; then
        say "  systemctl status $service; journalctl -u $service -f"
    else
        say "  tail -f $log   # the process is $(cat "$pid_file")"
    fi
    [ -z "$(linked previous)" ] || say "  bin/deploy.sh --rollback   # back to $(linked previous)"
    say "Then docs/checklist.md, line by line."
}

parse() {
    dry_run=no rollback=no mode='' asked_instances=keep
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry_run=yes ;;
        --rollback) rollback=yes ;;
        --process) mode=process ;;
        --instances)
            if ! [[ ${2-none} =~ ^[0-9\ ]*$ ]]; then
                complain '--instances needs ports, as in --instances "5000 5001"'
                exit 2
            fi
            asked_instances=$2
            shift
            ;;
        --yes | -y) ;; # nothing is ever asked
        --help | -h)
            usage
            exit 0
            ;;
        *)
            complain "what is $1? See --help."
            exit 2
            ;;
        esac
        shift
    done
}

find_place() {
    source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    if [ -z "$mode" ]; then
        if [ -d /run/systemd/system ]; then mode=systemd; else mode=process; fi
    fi
    if [ "$mode" = systemd ] && [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null ||
            fail "systemd needs root: run this as root, or with --process for a process of your own."
        local names
        names=$(setting_names | tr '\n' ,)
        exec sudo -n --preserve-env="${names}DEPLOY_ROOT,PYTHON,HEALTH_SECONDS" "$0" "${arguments[@]}"
    fi
    if [ "$(id -u)" -eq 0 ]; then
        root=${DEPLOY_ROOT:-/opt/wd-server}
        # One that the service's user can read, which root's own may not be.
        export PYTHON=${PYTHON:-/usr/bin/python3}
    else
        root=${DEPLOY_ROOT:-$HOME/wd-server}
    fi
    releases=$root/releases units=/etc/systemd/system
    log=$root/log/wd-server.log pid_file=$root/wd-server.pid
    if [ "$mode" = systemd ]; then env_file=/etc/wd-server/env; else env_file=$root/env; fi
    switched=no
}

# From a file of settings.
find_address() { # file
    host=$(setting "$1" HOST 127.0.0.1)
    port=$(setting "$1" PORT 5000)
    stop_seconds=$(($(setting "$1" DRAIN_SECONDS 20) + STOP_MARGIN))
    case $host in
    *:*) host="[${host//[\[\]]/}]" ;;
    *[!0-9.]*) [ "$mode" = process ] || fail "HOST is $host, but systemd listens on IP addresses only." ;;
    esac
    instances=''
    if [ "$asked_instances" != keep ]; then
        [ "$mode" = systemd ] || fail "--instances needs systemd: a background process is one."
        instances=$asked_instances
    elif [ "$mode" = systemd ]; then
        instances=$(installed_instances)
    fi
    ports=$(xargs <<<"${instances:-$port}")
}

prepare_machine() {
    mkdir -p "$releases" "$(dirname "$env_file")"
    exec 9>"$root/lock"
    flock -n 9 || fail "another deployment is running."
    if [ "$(id -u)" -eq 0 ] && ! id "$USER_NAME" >/dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir /var/lib/wd-server \
            --shell /usr/sbin/nologin "$USER_NAME"
    fi
}

check_settings() { # release file
    local program
    for program in "$releases/$1" "$source"; do
        if [ -x "$program/.venv/bin/python" ]; then
            env -i PATH="$PATH" "$program/bin/wd-server" --check --env-file "$2" || exit $?
            return 0
        fi
    done
    say "The settings' values are checked when the release is built."
}

plan() { # release
    if [ "$rollback" = yes ]; then say "Go back to $1 from $(linked current)."; fi
    if [ -e "$releases/$1/.complete" ]; then
        say "Release $1: is in $releases."
    else
        say "Release $1: would be built in $releases."
    fi
    say "Settings from the environment into $env_file: ${exported:-none}"
    local each
    for each in $ports; do
        if [ "$mode" = systemd ]; then
            say "Would restart $(unit "$each").service at $(url "$each")."
        else
            say "Would restart the process of $pid_file at $(url "$each")."
        fi
    done
    say "Nothing was changed."
}

main() {
    arguments=("$@")
    parse "$@"
    find_place
    command -v curl >/dev/null || fail "curl is missing. On Debian: apt-get install curl"
    umask 077
    local release
    exported=$(exported_settings)
    merged=$(mktemp)
    trap 'rm -f "$merged"' EXIT
    merged_settings >"$merged"
    require_settings "$merged"
    find_address "$merged"
    if [ "$rollback" = yes ]; then
        release=$(linked previous)
        [ -n "$release" ] || fail "there is no release to go back to."
    else
        release=$(release_name)
    fi
    if [ "$dry_run" = yes ]; then
        check_settings "$release" "$merged"
        plan "$release"
        return 0
    fi
    umask 022
    prepare_machine
    [ "$rollback" = yes ] || build "$release"
    check_settings "$release" "$merged"
    trap restore EXIT
    trap 'exit 1' INT TERM HUP
    if [ -f "$env_file" ]; then cp -p "$env_file" "$env_file.before"; fi
    (umask 077 && cp "$merged" "$env_file.new" && mv "$env_file.new" "$env_file")
    if is_deployed "$release"; then
        say "$release runs already, with these settings."
    else
        switch_to "$release"
        say "$release runs."
    fi
    rm -f "$merged" "$env_file.before"
    trap - EXIT INT TERM HUP
    prune
    next_steps
}

main "$@"
