#!/usr/bin/env bash
# Runs h2spec, strict cases included, in plaintext against the helloworld example and over TLS against interop-server,
# and prints the score. Every case has to pass.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

./peers.sh
build
./certificates.sh "$logs/certificates"

# h2spec's requests are no gRPC ones, so they are answered by 405 and a line of text, which serves it as a
# response. It takes a bare close and any code for an answer; tests/conformance.rs holds the server to the right code.
# Its own status says nothing of cases that it skips.
#
# h2spec NAME [OPTION...]: against the server at $addr.
h2spec() {
    timeout 600 "$peers/bin/h2spec" --strict --timeout 2 --host 127.0.0.1 --port "${addr##*:}" \
        --path /helloworld.Greeter/SayHello --junit-report "$logs/$1.xml" "${@:2}" >"$logs/$1" 2>&1 || true
}

start_server "$programs/helloworld" server
h2spec plaintext
start "$programs/interop-server" --port=0 --use_tls=true \
    --tls_cert_file="$logs/certificates/server.pem" --tls_key_file="$logs/certificates/server.key"
h2spec TLS --tls --insecure
python3 - "$logs/plaintext.xml" "$logs/TLS.xml" <<'PYTHON'
import sys
import xml.etree.ElementTree

cases = [list(xml.etree.ElementTree.parse(report).iter("testcase")) for report in sys.argv[1:]]
for over, found in zip(("plaintext", "TLS"), cases):
    print(f"{over}: {len(found)} cases")
skipped = failed = 0
for case in sum(cases, []):
    name = f"{case.get('package')} {case.get('classname')}"
    if case.find("skipped") is not None:
        skipped += 1
        print(f"SKIPPED: {name}")
    elif case.find("error") is not None:
        failed += 1
        *expected, got = case.find("error").text.strip().splitlines()
        print(f"FAILED: {name}\n    {' or '.join(expected)} expected, got {got}")
passed = sum(map(len, cases)) - skipped - failed
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(failed + skipped > 0 or not all(cases))
PYTHON
