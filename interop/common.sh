# shellcheck shell=bash disable=SC2034
# What the scripts here share: where things are, and servers that are surely ended. To be sourced.

root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
peers=$(realpath -m "${LARIAT_PEERS_DIR:-$root/target/peers}")
programs=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")/release
logs=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$logs"' EXIT

# build: the programs of ours that the scripts run.
build() {
    cargo build --release --quiet --manifest-path "$root/Cargo.toml" -p lariat-interop -p lariat-examples
}

# start_server COMMAND...: runs it with the address $listen, by default one of the system's choice, and sets $addr to the
# one it prints.
start_server() {
    start "$@" --addr "${listen:-127.0.0.1:0}"
}

# start COMMAND...: the same for a command that says by itself where to listen.
start() {
    local log=$logs/${#servers[@]}
    "$@" >"$log" 2>&1 </dev/null &
    servers+=($!)
    for _ in {1..600}; do
        if addr=$(grep -m1 -oE '127\.0\.0\.1:[0-9]+' "$log"); then
            return
        fi
        kill -0 "${servers[-1]}" || break
        sleep 0.1
    done
    echo "no address from: $*" >&2
    cat "$log" >&2
    return 1
}
