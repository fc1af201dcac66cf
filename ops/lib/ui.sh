# shellcheck shell=bash
# What every script of ours says and how it waits. Sourced, never run.
# All of it goes to standard error: standard output belongs to the caller, who may want a path or a line to eval.

# Scripts that call each other count from the same moment.
export MUSTER_STARTED_SECS=${MUSTER_STARTED_SECS:-$(date +%s)}

# say TEXT: one step, with the seconds since the run began.
say() {
    printf '%4ds  %s\n' $(($(date +%s) - MUSTER_STARTED_SECS)) "$*" >&2
}

# die WHAT NEXT: ends the script with what happened and what the reader can do about it.
die() {
    printf '\nerror: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  try: %s\n' "$2" >&2
    exit 1
}

# free_port: a TCP port of the loopback address that nothing listens on now.
# Outside the ephemeral range (32768 and up), so that no outgoing connection takes it before we do.
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# wait_for SECS DESCRIPTION COMMAND...: polls until the command succeeds; speaks (and fails) only when it never does.
wait_for() {
    local secs=$1 what=$2 deadline
    shift 2
    deadline=$(($(date +%s) + secs))
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            say "gave up after $secs s waiting for $what"
            return 1
        fi
        sleep 0.1
    done
}
