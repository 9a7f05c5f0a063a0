#!/usr/bin/env bash
# Runs h2spec, strict cases included, against the helloworld example and prints the score. Every case has to pass.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

./peers.sh
build
# h2spec's requests are no gRPC ones, so they are answered by 405 and a line of text, which serves it as a
# response. It takes a bare close and any code for an answer; tests/conformance.rs holds the server to the right code.
start_server "$programs/helloworld" server
# h2spec's own status says nothing of cases that it skips.
timeout 600 "$peers/bin/h2spec" --strict --timeout 2 --host 127.0.0.1 --port "${addr##*:}" \
    --path /helloworld.Greeter/SayHello --junit-report "$logs/report.xml" >"$logs/h2spec" 2>&1 || true
python3 - "$logs/report.xml" <<'PYTHON'
import sys
import xml.etree.ElementTree

cases = list(xml.etree.ElementTree.parse(sys.argv[1]).iter("testcase"))
skipped = failed = 0
for case in cases:
    name = f"{case.get('package')} {case.get('classname')}"
    if case.find("skipped") is not None:
        skipped += 1
        print(f"SKIPPED: {name}")
    elif case.find("error") is not None:
        failed += 1
        *expected, got = case.find("error").text.strip().splitlines()
        print(f"FAILED: {name}\n    {' or '.join(expected)} expected, got {got}")
passed = len(cases) - skipped - failed
print(f"{passed} passed, {failed} failed, {skipped} skipped")
sys.exit(failed + skipped > 0 or passed == 0)
PYTHON
