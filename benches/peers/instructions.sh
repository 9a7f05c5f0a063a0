#!/usr/bin/env bash
# Instructions in user space per unary call, by callgrind: the difference of two runs of 12,000 and 2,000 calls. The work
# for a call is exact and repeatable; how many calls share a turn of the loop depends on how the machine runs the load
# beside it, and with that the figure, by some percent on a busy machine. Build first; needs valgrind and h2load.
#
# instructions.sh [--size OCTETS] [--max COUNT] [--methods COUNT] [CONNECTIONS [STREAMS [SERVER...]]]
#     --size  of the name, 10 by default
#     --max   fails if a server needs more in each of three tries
#     --methods  methods that Lariat's server has besides, 0 by default
set -euo pipefail
cd "$(dirname "$0")"
size=10 max= methods=0
while [[ ${1-} == --* ]]; do
    case $1 in
    --size) size=$2 ;;
    --max) max=$2 ;;
    --methods) methods=$2 ;;
    *) echo "instructions.sh: unknown option $1" >&2 && exit 2 ;;
    esac
    shift 2
done
connections=${1:-1} streams=${2:-100}
shift $(($# < 2 ? $# : 2))
(($#)) || set -- floor pajamax lariat tonic
programs=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release
work=$(mktemp -d)
server=
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
# A length-prefixed HelloRequest. The answer has six octets more, and perhaps a longer length.
python3 - "$size" "$work" <<'PYTHON'
import sys
from measure.load import framed
name = b"x" * int(sys.argv[1])
open(sys.argv[2] + "/body", "wb").write(framed(name))
print(len(framed(b"Hello " + name)), file=open(sys.argv[2] + "/reply_len", "w"))
PYTHON
reply_len=$(<"$work/reply_len")

# instructions PROGRAM CALLS: of a server from its start to its end, with so many calls between.
instructions() {
    local port report options=()
    [[ $1 != floor ]] || options=(--size "$size")
    [[ $1 != lariat ]] || options=(--methods "$methods")
    port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
    : >"$work/log"
    valgrind --tool=callgrind --callgrind-out-file="$work/out" "$programs/$1-server" --port "$port" "${options[@]}" \
        >"$work/log" 2>&1 &
    server=$!
    for _ in {1..200}; do
        grep -q '^listening' "$work/log" && sleep 0.3 && break
        sleep 0.1
    done
    report=$(timeout 100 h2load -n "$2" -c "$connections" -m "$streams" -d "$work/body" \
        -H 'content-type: application/grpc' -H 'te: trailers' "http://127.0.0.1:$port/helloworld.Greeter/SayHello")
    grep -q " $2 succeeded" <<<"$report" && grep -qF "($(($2 * reply_len))) data" <<<"$report" ||
        { echo "instructions.sh: $1 did not answer all calls" >&2 && return 1; }
    kill "$server"
    wait "$server" || true
    sed -n 's/^\(totals\|summary\): *//p' "$work/out" | head -1
}

# per_call PROGRAM: instructions for one more call.
per_call() {
    local many few
    many=$(instructions "$1" 12000) && few=$(instructions "$1" 2000) || return
    echo $(((many - few) / 10000))
}

echo "instructions per call, $connections connections x $streams streams, $size B"
for name; do
    for try in 1 2 3; do
        each=$(per_call "$name")
        printf '%-8s %6d\n' "$name" "$each"
        [[ -n $max ]] && ((each > max)) || continue 2
    done
    echo "instructions.sh: more than $max" >&2 && exit 1
done
