#!/usr/bin/env python3
"""What Lariat costs next to its peers: builds them all, measures them in interleaved rounds, writes a report with plots.

Every round measures every peer once at everything, so that a drift of the machine meets all alike. Needs two cores that
nothing else uses, and h2load (Debian package nghttp2-client); measures more with valgrind, strace, and go with protoc installed.
See README.md.
"""

import argparse
import pathlib
import sys
import time

from measure import beside, builds, clients, exact, loops, memory, peers, report, scale, unary

SECTIONS = {
    "unary": unary.measure,
    "clients": clients.measure,
    "beside": beside.measure,
    "loops": loops.measure,
    "scale": scale.measure,
    "memory": memory.measure,
    "exact": exact.measure,
    "build": builds.measure,
}


class Options:
    """How long and how often to measure."""

    def __init__(self, given):
        self.seconds = given.seconds or (0.3 if given.quick else 1.2)
        self.rounds = given.rounds or (1 if given.quick else 5)
        self.started = time.monotonic()

    def turns(self, what, most=None):
        """The rounds of a section."""
        count = min(self.rounds, most or self.rounds)
        for turn in range(count):
            self.say(f"{what}: round {turn + 1} of {count}")
            yield turn

    def say(self, what):
        print(f"{time.monotonic() - self.started:6.0f} s  {what}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round: a look, not a measurement")
    parser.add_argument("--build", action="store_true", help="measure clean release builds, too (adds minutes)")
    parser.add_argument("--sections", help=f"of {', '.join(SECTIONS)}; default: all but build")
    parser.add_argument("--peers", help=f"of {', '.join(peer.name for peer in peers.PEERS)}; default: all there are")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of one measurement")
    parser.add_argument("--no-compile", action="store_true", help="measure the programs that are there")
    parser.add_argument("--to", type=pathlib.Path, default=peers.HERE / "results", help="folder of the report")
    given = parser.parse_args()

    names = given.sections.split(",") if given.sections else [name for name in SECTIONS if name != "build"]
    if given.build and "build" not in names:
        names.append("build")
    chosen = peers.chosen(given.peers.split(",") if given.peers else [])
    options = Options(given)
    if not given.no_compile:
        options.say("compiling")
        peers.build(chosen)
    tables = []
    for name in names:
        tables += SECTIONS[name](chosen, options)
    report.write(tables, given.to, " ".join(["benches/peers/compare.py", *sys.argv[1:]]))
    options.say(f"wrote {given.to}/report.md")


if __name__ == "__main__":
    main()
