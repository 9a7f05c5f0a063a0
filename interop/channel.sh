#!/usr/bin/env bash
# Checks the channel over three grpc-go backends: balancing, retries, health and load; README.md lists the checks.
# Arguments choose checks by name.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

./peers.sh
build

backends=() addresses=()
# start_backend N: backend N, at the address that it had before if it had one.
start_backend() {
    listen=${addresses[$1]:-} start_server "$peers/bin/go-backend" --name "$1"
    backends[$1]=${servers[-1]} addresses[$1]=$addr
}

for place in 0 1 2; do
    start_backend "$place"
done

# The client asks for what it cannot do itself; what else it prints are results.
coproc client { timeout 200 "$programs/channel_client" "${addresses[@]}" "$@"; }
exec {replies}<&"${client[0]}" {requests}>&"${client[1]}"
client_id=$client_PID
passed=0 failed=0
while read -r line <&"$replies"; do
    case $line in
        "kill "*)
            kill -9 "${backends[${line#kill }]}"
            wait "${backends[${line#kill }]}" 2>/dev/null || true
            echo "$line" >&"$requests"
            ;;
        "start "*)
            start_backend "${line#start }"
            echo "$line" >&"$requests"
            ;;
        *) echo "$line" ;;
    esac
    case $line in
        "ok "*) passed=$((passed + 1)) ;;
        "FAILED "*) failed=$((failed + 1)) ;;
    esac
done
wait "$client_id" || ((failed > 0)) || { echo "FAILED channel_client: it ended with an error" && failed=1; }
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
