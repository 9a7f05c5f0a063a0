#!/usr/bin/env bash
# Runs h2spec, strict cases included, against the helloworld example and prints the score. Fails on any failure that
# h2spec-known.txt does not list, and on a listed one that no longer fails.
set -euo pipefail
cd "$(dirname "$0")"
source ./common.sh

./peers.sh
build
start_server "$programs/helloworld" server
# h2spec's status is 1 as soon as one case fails; which ones may is decided below.
timeout 600 "$peers/bin/h2spec" --strict --timeout 2 --host 127.0.0.1 --port "${addr##*:}" \
    --path /helloworld.Greeter/SayHello --junit-report "$logs/report.xml" >"$logs/h2spec" 2>&1 || true
python3 - "$logs/report.xml" h2spec-known.txt <<'PYTHON'
import sys
import xml.etree.ElementTree

report, known_file = sys.argv[1:]
known = {}
for line in open(known_file, encoding="utf-8"):
    if line.strip() and not line.startswith("#"):
        section, title, reason = line.rstrip("\n").split("\t")
        known[section, title] = reason
cases = [(case.get("package"), case.get("classname"), case) for case in xml.etree.ElementTree.parse(report).iter("testcase")]
skipped = {(section, title) for section, title, case in cases if case.find("skipped") is not None}
failures = {(section, title): case for section, title, case in cases if case.find("error") is not None}
wrong = 0
for case, element in failures.items():
    if case in known:
        print(f"known: {' '.join(case)}: {known[case]}")
    else:
        wrong += 1
        *expected, got = element.find("error").text.strip().splitlines()
        print(f"FAILED: {' '.join(case)}\n    {' or '.join(expected)} expected, got {got}")
for case in known.keys() - failures.keys():
    wrong += 1
    print(f"FAILED: {' '.join(case)} passes now or is gone; take it off {known_file}")
passed = len(cases) - len(failures) - len(skipped)
print(f"h2spec: {passed} of {len(cases)} passed, {len(skipped)} skipped, {len(failures)} failed")
print(f"{passed} passed, {wrong} failed, {len(failures) + len(skipped)} skipped")
sys.exit(wrong > 0 or passed == 0)
PYTHON
