#!/usr/bin/env bash
# Instructions in user space per unary call (10 B name), by callgrind: the difference of two runs of 12,000 and 2,000 calls,
# which is exact and repeatable whatever else the machine does. Build first; needs valgrind and h2load.
#
# instructions.sh [CONNECTIONS [STREAMS [SERVER...]]]
set -euo pipefail
cd "$(dirname "$0")"
connections=${1:-1} streams=${2:-100}
shift $(($# < 2 ? $# : 2))
(($#)) || set -- floor pajamax lariat tonic
programs=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release
work=$(mktemp -d)
server=
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
printf '\0\0\0\0\14\12\12abcdefghij' >"$work/body"

# instructions PROGRAM CALLS: of a server from its start to its end, with so many calls between.
instructions() {
    local port report
    port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
    : >"$work/log"
    valgrind --tool=callgrind --callgrind-out-file="$work/out" "$programs/$1-server" --port "$port" >"$work/log" 2>&1 &
    server=$!
    for _ in {1..200}; do
        grep -q '^listening' "$work/log" && sleep 0.3 && break
        sleep 0.1
    done
    report=$(h2load -n "$2" -c "$connections" -m "$streams" -d "$work/body" -H 'content-type: application/grpc' \
        -H 'te: trailers' "http://127.0.0.1:$port/helloworld.Greeter/SayHello")
    grep -q " $2 succeeded" <<<"$report"
    kill "$server"
    wait "$server" || true
    sed -n 's/^\(totals\|summary\): *//p' "$work/out" | head -1
}

echo "instructions per call, $connections connections x $streams streams"
for name; do
    many=$(instructions "$name" 12000)
    few=$(instructions "$name" 2000)
    printf '%-8s %6d\n' "$name" $(((many - few) / 10000))
done
