#!/usr/bin/env bash
# 100,000 unary calls over 10 connections x 100 streams against the helloworld example, each with the whole answer.
# Needs h2load (Debian package nghttp2-client).
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

build
calls=100000
# A length-prefixed HelloRequest { name: "world" }; the answer is HelloReply { message: "Hello world" }.
printf '\0\0\0\0\7\12\5world' >"$logs/body"
reply_len=$((5 + 2 + 11))

start_server "$programs/helloworld" server
report=$(timeout 120 h2load -n "$calls" -c 10 -m 100 -d "$logs/body" \
    -H 'content-type: application/grpc' -H 'te: trailers' "http://$addr/helloworld.Greeter/SayHello")
grep -E '^(finished|requests|status codes|traffic|time for request)' <<<"$report"

expect() {
    grep -qF "$1" <<<"$report" || { echo "h2load.sh: no \"$1\" in the report" >&2; exit 1; }
}
expect " $calls succeeded, 0 failed, 0 errored, 0 timeout"
expect "status codes: $calls 2xx"
expect "($((calls * reply_len))) data"
echo "1 passed, 0 failed"
