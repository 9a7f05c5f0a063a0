#!/usr/bin/env bash
# Runs every client's checks against every server, ours and the foreign ones; README.md says what is checked.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

./peers.sh
build

clients=(lariat go python)
# client NAME ADDR [GROUP...]: the calls are bounded in time; the limit here is for a client that hangs by itself.
client() {
    case $1 in
        lariat) timeout 200 "$programs/peer_client" --addr "${@:2}" ;;
        go) timeout 200 "$peers/bin/go-client" -addr "${@:2}" ;;
        python) timeout 200 "$peers/venv/bin/python" python/client.py --addr "${@:2}" ;;
    esac
}

passed=0 failed=0 table=
# matrix SERVER [GROUP...]: all clients against the server at $addr.
matrix() {
    local server=$1 name output ok bad
    shift
    for name in "${clients[@]}"; do
        echo "-- $name client, $server server"
        if ! output=$(client "$name" "$addr" "$@" 2>&1) && ! grep -q '^FAILED' <<<"$output"; then
            output+=$'\nFAILED client: it ended with an error'
        fi
        echo "$output"
        ok=$(grep -c '^ok ' <<<"$output" || true)
        bad=$(grep -c '^FAILED ' <<<"$output" || true)
        passed=$((passed + ok)) failed=$((failed + bad))
        table+=$(printf '%-20s %-8s %6d %6d' "$server" "$name" "$ok" "$bad")$'\n'
    done
}

start_server "$programs/helloworld" server
matrix "lariat helloworld" greeter
start_server "$programs/route_guide" server
matrix "lariat route_guide" route_guide
start_server "$programs/peer_server"
matrix "lariat peer_server"
start_server "$peers/bin/go-server"
matrix grpc-go
start_server "$peers/venv/bin/python" python/server.py
matrix grpcio

printf '\n%-20s %-8s %6s %6s\n%s\n' server client passed failed "$table"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
