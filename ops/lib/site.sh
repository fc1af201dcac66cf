# shellcheck shell=bash
# A small Muster on this machine: musterd and three agents in one folder. Sourced by quickstart; by fleet for its musterd.
#
# Every process is known by its id and start time, so that nothing else is ever taken for ours, and nothing is ended by
# name. The caller sets SITE (the folder) and BIN (where the programs are).

HOSTS=(host-1 host-2 host-3)

# process_identity ID: id and start time, which together name one process for ever. Nothing when it is gone.
process_identity() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    # the name in parentheses may hold anything; the start time is the 20th field after it, the state the first
    # shellcheck disable=SC2086
    set -- "$1" ${stat##*) }
    [ "$2" = Z ] || echo "$1 ${21}"
}

# is_running NAME
is_running() {
    local known
    known=$(cat "$SITE/run/$1.pid" 2>/dev/null) || return 1
    [ -n "$known" ] && [ "$(process_identity "${known% *}")" = "$known" ]
}

# start NAME PROGRAM CONFIG [ARG...]: in a session of its own, so that it outlives this script and its terminal.
start() {
    mkdir -p "$SITE/run" "$SITE/log"
    setsid "$BIN/$2" --config "$3" "${@:4}" >>"$SITE/log/$1.log" 2>&1 </dev/null &
    process_identity $! >"$SITE/run/$1.pid"
    disown
}

# stop NAME SECS: asks, waits, and then insists.
stop() {
    is_running "$1" || return 0
    local id
    id=$(cut -d' ' -f1 "$SITE/run/$1.pid")
    kill -TERM "$id"
    if ! wait_for "$2" "$1 to end" is_gone "$1"; then
        kill -KILL "$id" 2>/dev/null || true
        wait_for 10 "$1 to be gone" is_gone "$1" || true
    fi
    rm -f "$SITE/run/$1.pid"
}

is_gone() {
    ! is_running "$1"
}

# site_qemu_ids: processes of QEMU that run on this site's files.
site_qemu_ids() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        if { tr '\0' ' ' <"$file"; } 2>/dev/null | grep -q "^[^ ]*qemu-system[^ ]* .*$SITE/"; then
            file=${file#/proc/}
            echo "${file%/cmdline}"
        fi
    done
}

# write_configs GATEWAY_PORT BUS_PORT MONITOR_PORT NATS_PROGRAM
write_configs() {
    mkdir -p "$SITE"
    cat >"$SITE/musterd.toml" <<TOML
data_dir = "$SITE/muster"

[musterd]
nats_program = "$4"
nats_listen = "127.0.0.1:$2"
nats_monitor = "127.0.0.1:$3"

[gateway]
listen = "127.0.0.1:$1"
TOML
    echo "http://127.0.0.1:$1" >"$SITE/server"
    echo "$2" >"$SITE/bus-port"
}

# write_agent_config HOST TOKEN
write_agent_config() {
    local password
    password=$(sed -n 's/^agent = "\(.*\)"$/\1/p' "$SITE/muster/bus/passwords.toml")
    (
        umask 077 # it holds the bus password
        cat >"$SITE/$1.toml" <<TOML
data_dir = "$SITE/$1"

[bus]
url = "nats://127.0.0.1:$(cat "$SITE/bus-port")"
user = "agent"
password = "$password"

[agent]
name = "$1"
join_token = "$2"
datastores = [{ name = "local", path = "$SITE/$1/store" }]
TOML
    )
}

# make_library HOST: a library server beside a host, from its next start on.
make_library() {
    grep -q '^roles' "$SITE/$1.toml" || sed -i 's/^\[agent\]$/[agent]\nroles = ["host", "library"]/' "$SITE/$1.toml"
}

# put_image HOST IMAGE: into the host's datastore; as a reflink where the filesystem can.
put_image() {
    local images=$SITE/$1/store/images
    mkdir -p "$images"
    cmp -s "$2" "$images/guest.qcow2" || cp --reflink=auto "$2" "$images/guest.qcow2"
}

muster() {
    MUSTER_SERVER=$(cat "$SITE/server") "$BIN/muster" "$@"
}

is_ready() {
    curl -fsS "$(cat "$SITE/server")/readyz"
}

all_hosts_respond() {
    [ "$(muster host list --filter approval:approved,status:responding -o name 2>/dev/null | wc -l)" -ge "${#HOSTS[@]}" ]
}

musterd_up() {
    if ! is_running musterd; then
        start musterd musterd "$SITE/musterd.toml"
    fi
    wait_for 60 "musterd to be ready" is_ready ||
        die "musterd did not become ready" "look into $SITE/log/musterd.log"
    say "musterd is ready at $(cat "$SITE/server")"
}

# site_up IMAGE: musterd and the agents, whichever does not run yet.
site_up() {
    local host token
    musterd_up
    for host in "${HOSTS[@]}"; do
        put_image "$host" "$1"
        is_running "$host" && continue
        if [ ! -f "$SITE/$host.toml" ]; then
            token=${token:-$(muster host token create -o json | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')}
            [ -n "$token" ] || die "no join token could be made" "look into $SITE/log/musterd.log"
            write_agent_config "$host" "$token"
        fi
        [ "$host" != host-1 ] || make_library "$host"
        start "$host" agent "$SITE/$host.toml"
    done
    wait_for 60 "three hosts to respond" all_hosts_respond ||
        die "the hosts did not all join" "$BIN/muster host list; logs are in $SITE/log"
    say "three hosts have joined"
}

# site_down: machines first, while there is somebody who can ask their guests; then agents, then musterd.
site_down() {
    local name id ids
    if is_running musterd && is_ready >/dev/null 2>&1; then
        for name in $(muster vm list --filter state:running -o name 2>/dev/null); do
            say "shutting down ${name#vm/}"
            muster vm shutdown "${name#vm/}" --wait --timeout 60s -q >/dev/null 2>&1 || true
        done
    fi
    for name in "${HOSTS[@]}"; do
        stop "$name" 20
    done
    stop musterd 30
    ids=$(site_qemu_ids)
    for id in $ids; do
        say "turning off the machine of process $id, which did not shut down"
        kill -KILL "$id" 2>/dev/null || true
    done
    end_orphaned_bus
}

# A musterd that was killed leaves its nats-server running on purpose; here it has to go too.
end_orphaned_bus() {
    local file=$SITE/muster/bus/nats.pid known
    known=$(cat "$file" 2>/dev/null) || return 0
    if [ -n "$known" ] && [ "$(process_identity "${known% *}")" = "$known" ]; then
        kill -TERM "${known% *}" 2>/dev/null || true
        wait_for 15 "the bus to end" bus_is_gone "$known" || kill -KILL "${known% *}" 2>/dev/null || true
    fi
    rm -f "$file"
}

bus_is_gone() {
    [ "$(process_identity "${1% *}")" != "$1" ]
}
