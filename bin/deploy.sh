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
# Settings that this script acts on, in the order of `wd-server --check --print`.
readonly ACTED_ON=(HOST PORT DRAIN_SECONDS DATA_DIR METRICS_TOKEN)
# Seconds after DRAIN_SECONDS until a process that goes on is killed (TimeoutStopSec).
readonly STOP_MARGIN=40
readonly USER_NAME=wd-server
readonly CONFIG=78
# What a release is made of.
readonly PARTS=(bin clients/python/{LICENSE,README.md,pyproject.toml,wd_client} conf docs handlers
    wd_server wd_tools CHANGELOG.md LICENSE README.md pyproject.toml requirements.lock setup.py)

# As root, root is the only one who decides what this script does. The service's user may have been taken
# over, so root reads nothing as more than text that this user wrote, and writes, signals and makes
# folders with this user's rights (`as_service`) wherever this user could put something else in the way.

say() { printf '%s\n' "$*"; }
# Logs, answers and settings may hold what a terminal would obey.
printable() { tr -d '\000-\010\013-\037\177'; }
complain() { printf 'deploy: %s\n' "$*" | printable >&2; }
fail() {
    complain "$*"
    exit 1
}
is_root() { [ "$(id -u)" -eq 0 ]; }
# For an ordinary user, who deploys what runs as that user, it is the command itself.
as_service() { "${service[@]}" "$@"; }

# Folders.

# Whether nobody but root can put something in the folder's place or into it. One that everybody may
# write to and where names are safe (/tmp, with its sticky bit) does on the way, but not as the folder.
is_roots_alone() { # an absolute path without links
    local folder=$1 open=(-perm /022)
    until [ -e "$folder" ]; do folder=$(dirname "$folder"); done
    while [ -z "$(find "$folder" -maxdepth 0 \( ! -uid 0 -o "${open[@]}" \))" ]; do
        [ "$folder" != / ] || return 0
        folder=$(dirname "$folder") open=(-perm /022 ! -perm -1000)
    done
    return 1
}

require_safe_place() {
    local folder
    [[ $root =~ ^/[A-Za-z0-9._/-]+$ ]] ||
        fail "DEPLOY_ROOT is an absolute path of letters, digits, dots, hyphens and underscores."
    is_root || return 0
    for folder in "$releases" "$root/log" "$(dirname "$env_file")"; do
        is_roots_alone "$(realpath -m "$folder")" ||
            fail "somebody other than root can write to $folder or to a folder above it, and root runs programs from there: make it root's alone."
    done
    if [ -L "$env_file" ] || { [ -e "$env_file" ] && [ ! -f "$env_file" ]; }; then
        fail "$env_file is a link or no file at all: replace it by the file itself."
    fi
}

# The folder of a background process. One that is there is the service's already, or it is refused.
require_data_dir() {
    [ "$mode" = process ] || return 0
    if [[ $data_dir != /* ]]; then
        complain "DATA_DIR is $data_dir: a background process needs an absolute path."
        exit $CONFIG
    fi
    if [ ! -e "$data_dir" ] && [ ! -L "$data_dir" ]; then return 0; fi
    if ! as_service test -d "$data_dir" -a -O "$data_dir" 2>/dev/null; then
        complain "DATA_DIR is $data_dir, which isn't a folder of $service_user's. Nothing that is there is given to somebody else: do that yourself, or name another folder."
        exit $CONFIG
    fi
}

make_data_dir() {
    if [ ! -e "$data_dir" ]; then
        # A link may be the service's, so what lies behind one is made with its rights.
        if is_root && [ "$(realpath -m "$data_dir")" = "$data_dir" ] && is_roots_alone "$data_dir"; then
            install -d -m 700 -o "$USER_NAME" -g "$USER_NAME" "$data_dir"
        else
            as_service mkdir -p -m 700 "$data_dir"
        fi
    fi
    as_service chmod 700 "$data_dir"
}

# Settings.

# The names that docs/settings.md has.
setting_names() { sed -n 's/^#\{0,1\}\([A-Z_]*\)=.*/\1/p' "$source/conf/env.example"; }

# A setting's text in a file, to name early what is missing. It is compared and no more: what is done
# follows the values that read_settings got.
setting() { # file name
    local value
    value=$(sed -n "s/^[[:space:]]*$2[[:space:]]*=[[:space:]]*\(.*[^[:space:]]\)[[:space:]]*$/\1/p" "$1" | tail -n 1)
    case $value in
    \"*\" | \'*\') value=${value:1:${#value}-2} ;;
    esac
    printf '%s' "$value"
}

# A background process and bin/wd-keys both find the folder there.
name_data_dir() { # file
    if [ "$mode" = process ] && [ -z "$(setting "$1" DATA_DIR)" ]; then
        printf '\nDATA_DIR="%s"\n' "$root/data" >>"$1"
    fi
}

# Nobody but root can change the settings that root reads; the service reads them.
install_settings() { # from to
    if is_root; then
        install -m 640 -o root -g "$USER_NAME" "$1" "$2"
    else
        install -m 600 "$1" "$2"
    fi
}

tell_of_takeover() {
    local owner
    is_root && [ -f "$env_file" ] || return 0
    owner=$(stat -c %U "$env_file")
    [ "$owner" != root ] || return 0
    say "$env_file belongs to $owner, who could change what root reads. Its lines are copied into a file that belongs to root: check that you know each of them."
}

# The settings file as it is to be: what the environment sets comes before what was there.
merged_settings() {
    local line name
    while IFS= read -r line || [ -n "$line" ]; do
        name=${line%%=*}
        name=${name//[[:space:]]/}
        [[ -n $name && " $exported " == *" $name "* ]] || printf '%s\n' "$line"
    done <"$scratch/before"
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
    [ "$(setting "$1" ENV)" = development ] && needed=(ENV)
    for name in "${needed[@]}"; do
        [ -n "$(setting "$1" "$name")" ] || missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    complain "missing: ${missing[*]}. Export them (docs/settings.md says what each is), or write them into $env_file."
    exit $CONFIG
}

# Says what is wrong with a file of settings, or the values of ACTED_ON, each ended by NUL. The file comes
# by standard input: whoever checks needs no right to open it.
check() { # program file
    local runner=()
    as_service test -x "$1/.venv/bin/python" 2>/dev/null && runner=(as_service)
    "${runner[@]}" env -i PATH="$PATH" "$1/bin/wd-server" --check --env-file - \
        "${ACTED_ON[@]/#/--print=}" <"$2"
}

# Sets what ACTED_ON names, once the first of the programs that can has found the file right. Fails with
# $CONFIG if it is wrong, and with 1 if none of them can. Whoever checks may be the service's user, so
# what comes from there is text, and no number before it has been looked at.
read_settings() { # file program...
    local file=$1 program values
    shift
    for program in "$@"; do
        # Older versions don't know --print.
        if [ ! -x "$program/.venv/bin/python" ] || ! grep -qs -- --print "$program/wd_server/cli.py"; then continue; fi
        mapfile -d '' -t values < <(check "$program" "$file")
        wait $! || return $CONFIG
        host=${values[0]-} port=${values[1]-} drain=${values[2]-}
        data_dir=${values[3]-} metrics_token=${values[4]-}
        [[ $host =~ ^[0-9A-Za-z.:%-]+$ && $port =~ ^[0-9]{1,5}$ && $drain =~ ^[0-9]{1,3}$ ]] && return 0
        complain "$program/bin/wd-server --print gave a HOST, PORT or DRAIN_SECONDS that can't be one: is this release damaged?"
        return $CONFIG
    done
    return 1
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
        --no-build-isolation . ./clients/python && rm -rf {.,clients/python}/{build,*.egg-info})
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

# The service's, and no process that got its number since.
is_running() { # pid
    [[ $1 =~ ^[1-9][0-9]*$ ]] && as_service test -O "/proc/$1" &&
        tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -q wd-server
}

# With the service's rights: the kernel lets no other process be hit.
signal_process() { # signal pid
    as_service bash -c "kill -s $1 $2" 2>/dev/null || true
}

stop_process() {
    local pid deadline=$((SECONDS + stop_seconds))
    pid=$(cat "$pid_file" 2>/dev/null || true)
    is_running "$pid" || return 0
    signal_process TERM "$pid"
    while is_running "$pid"; do
        [ $SECONDS -lt $deadline ] || signal_process KILL "$pid"
        sleep 0.1
    done
}

# The log's folder is root's, and so is the log of a new installation: the process is given it open.
start_process() {
    make_data_dir || return 1
    mkdir -p "$root/log"
    touch "$log"
    chmod 640 "$log"
    cd /
    setsid env -i PATH="$PATH" PYTHONFAULTHANDLER=1 "${service[@]}" "$root/current/bin/wd-server" \
        --env-file "$env_file" --data-dir "$data_dir" </dev/null >>"$log" 2>&1 9>&- &
    printf '%s\n' $! >"$pid_file"
    # Until then it has the name of this script, and perhaps root's rights.
    while [ -e "/proc/$!" ] && ! is_running $!; do sleep 0.05; done
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
            start_process || return 1
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
    local answer='' deadline=$((SECONDS + health_seconds)) version
    version=$(linked current)
    version=${version%-*}
    while [ $SECONDS -lt $deadline ]; do
        if answer=$(curl -sS --max-time 5 -w '\n%{http_code}' "$(url "$1")/health" 2>&1) &&
            [ "${answer##*$'\n'}" = 200 ] && [[ $answer == *"\"version\":\"$version\""* ]]; then
            return 0
        fi
        # Not is_running: a process that is just changing its program has no name.
        if [ "$mode" = process ] && [ ! -e "/proc/$(cat "$pid_file")" ]; then break; fi
        sleep 0.2
    done
    complain "$(url "$1")/health isn't healthy with version $version: $answer"
    return 1
}

check_metrics() { # port
    local answer
    answer=$(curl -sS --max-time 5 -H @- "$(url "$1")/metrics" 2>&1 \
        <<<"${metrics_token:+Authorization: Bearer $metrics_token}") || true
    grep -q '^walletdoctor_active_streams ' <<<"$answer" && return 0
    complain "$(url "$1")/metrics has no metrics: $(head -c 300 <<<"$answer")"
    return 1
}

last_words() {
    complain "what the log says last:"
    if [ "$mode" = systemd ]; then
        local each
        for each in $ports; do
            journalctl --unit "$(unit "$each").service" --lines 10 --output cat --no-pager | printable >&2 || true
        done
    else
        tail -n 10 "$log" | printable >&2 || true
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
    rm -rf "$scratch" "$env_file.new"
    if [ -f "$env_file.before" ]; then mv "$env_file.before" "$env_file"; fi
    if [ "$switched" = yes ]; then
        last_words
        if [ -n "$before" ]; then
            complain "going back to $before"
            link current "$before"
            if read_settings "$env_file" "$releases/$before" "$releases/$release" "$source" && find_address && activate; then
                complain "$before runs again"
            else
                complain "$before doesn't run either"
            fi
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
    local first=${ports%% *} unit as_user=''
    unit=$(unit "$first")
    say ""
    say "Next:"
    if [ "$(url "$first")" = http://127.0.0.1:5000 ]; then
        say "  bin/verify_deployment.sh"
    else
        say "  API_URL=$(url "$first") bin/verify_deployment.sh"
    fi
    is_root && as_user="runuser -u $USER_NAME -- "
    say "  $as_user$root/current/bin/wd-keys --env-file $env_file create --name NAME   # a key for a caller"
    if [ "$mode" = systemd ]; then
        say "  systemctl status $unit; journalctl -u $unit -f"
    else
        say "  tail -f $log   # the process is $(cat "$pid_file")"
    fi
    [ -z "$(linked previous)" ] || say "  bin/deploy.sh --rollback   # back to $(linked previous)"
    say "Then docs/checklist.md, line by line."
}

are_ports() { # text
    local port
    [[ $1 =~ ^[0-9\ ]*$ ]] || return 1
    for port in $1; do
        [[ $port =~ ^[1-9][0-9]{0,4}$ ]] && [ "$port" -le 65535 ] || return 1
    done
}

parse() {
    dry_run=no rollback=no mode='' asked_instances=keep
    while [ $# -gt 0 ]; do
        case $1 in
        --dry-run) dry_run=yes ;;
        --rollback) rollback=yes ;;
        --process) mode=process ;;
        --instances)
            if ! are_ports "${2-none}"; then
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
    health_seconds=${HEALTH_SECONDS:-60}
    if ! [[ $health_seconds =~ ^[1-9][0-9]{0,3}$ ]]; then
        complain "HEALTH_SECONDS is a number of seconds, from 1 to 9999."
        exit 2
    fi
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
    service=() service_user=$(id -un)
    if is_root; then
        service=(setpriv --reuid="$USER_NAME" --regid="$USER_NAME" --clear-groups --no-new-privs)
        service_user=$USER_NAME
        # A link on the way may lead elsewhere later.
        root=$(realpath -m "${DEPLOY_ROOT:-/opt/wd-server}")
        # One that the service's user can read, which root's own may not be.
        export PYTHON=${PYTHON:-/usr/bin/python3}
    else
        root=${DEPLOY_ROOT:-$HOME/wd-server}
    fi
    releases=$root/releases units=/etc/systemd/system
    log=$root/log/wd-server.log pid_file=$root/wd-server.pid
    if [ "$mode" = systemd ]; then env_file=/etc/wd-server/env; else env_file=$root/env; fi
    switched=no ports=''
    require_safe_place
    if [ "$asked_instances" != keep ] && [ "$mode" = process ]; then
        fail "--instances needs systemd: a background process is one."
    fi
}

# From what read_settings has set.
find_address() {
    stop_seconds=$((10#$drain + STOP_MARGIN))
    case $host in
    *:*) host="[$host]" ;;
    *[!0-9.]*) [ "$mode" = process ] || fail "HOST is $host, but systemd listens on IP addresses only." ;;
    esac
    instances=''
    if [ "$asked_instances" != keep ]; then
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
    if is_root && ! id "$USER_NAME" >/dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir /var/lib/wd-server \
            --shell /usr/sbin/nologin "$USER_NAME"
    fi
}

# Whether there was a program to check them with; wrong ones end this script.
check_settings() {
    local status=0
    read_settings "$merged" "$releases/$release" "$source" "$root/current" || status=$?
    [ $status -ne $CONFIG ] || exit $CONFIG
    [ $status -eq 0 ] || return 1
    find_address
    require_data_dir
}

plan() {
    if [ "$rollback" = yes ]; then say "Go back to $release from $(linked current)."; fi
    if [ -e "$releases/$release/.complete" ]; then
        say "Release $release: is in $releases."
    else
        say "Release $release: would be built in $releases."
    fi
    say "Settings from the environment into $env_file: ${exported:-none}"
    local each
    [ -n "$ports" ] || say "Would restart what runs."
    for each in $ports; do
        if [ "$mode" = systemd ]; then
            say "Would restart $(unit "$each").service at $(url "$each")."
        else
            say "Would restart the process of $pid_file at $(url "$each")."
        fi
    done
    say "Nothing was changed."
}

deploy() {
    umask 022
    prepare_machine
    [ "$rollback" = yes ] || build "$release"
    check_settings || fail "no version here can check the settings: deploy this one, or \`make install\` in its checkout."
    trap restore EXIT
    trap 'exit 1' INT TERM HUP
    if [ -f "$env_file" ]; then install_settings "$scratch/before" "$env_file.before"; fi
    install_settings "$merged" "$env_file.new"
    mv "$env_file.new" "$env_file"
    if is_deployed "$release"; then
        say "$release runs already, with these settings."
    else
        switch_to "$release"
        say "$release runs."
    fi
    rm -rf "$scratch" "$env_file.before"
    trap - EXIT INT TERM HUP
    prune
    next_steps
}

main() {
    arguments=("$@")
    parse "$@"
    find_place
    command -v curl >/dev/null || fail "curl is missing. On Debian: apt-get install curl"
    umask 077
    exported=$(exported_settings)
    scratch=$(mktemp -d)
    merged=$scratch/merged
    trap 'rm -rf "$scratch"' EXIT
    if [ -f "$env_file" ]; then cp "$env_file" "$scratch/before"; else touch "$scratch/before"; fi
    merged_settings >"$merged"
    require_settings "$merged"
    name_data_dir "$scratch/before"
    name_data_dir "$merged"
    tell_of_takeover
    if [ "$rollback" = yes ]; then
        release=$(linked previous)
        [ -n "$release" ] || fail "there is no release to go back to."
    else
        release=$(release_name)
    fi
    if [ "$dry_run" = no ]; then
        deploy
    else
        check_settings || say "The settings' values are checked when the release is built."
        plan
    fi
}

main "$@"
