"""Whether a call costs the same with two event loops as with one."""

import contextlib
import dataclasses

from . import load
from .peers import US
from .server import Failed, Server
from .table import Goal, Table

SHAPES = [(10, 100), (100, 10)]  # connections, streams
COUNTS = [(1, "one loop"), (2, "two loops")]
# Our server by its loops, tonic's by its worker threads.
FAMILIES = {US: ("lariat-server", "--threads"), "tonic-mt": ("tonic-server", "--threads")}
MORE = 1.1  # A tenth is what two threads take from each other on two cores that they share with the load.


def measure(peers, options):
    table = Table(
        "Server CPU per unary call with one loop and with two",
        "Microseconds, user and system",
        "10 B. Server and h2load share both cores, so compare within the table only. tonic-mt: with one worker thread and "
        "with two.",
        plot="loops",
    )
    for connections, streams in SHAPES:
        rows = [row_of(connections, streams, name) for _, name in COUNTS]
        table.goal(rows[0])
        table.goal(rows[1], Goal(MORE, US, row=rows[0]))
    variants = {
        (peer.name, count): dataclasses.replace(peer, server=(program, option, str(count)))
        for peer in peers
        if peer.name in FAMILIES
        for program, option in [FAMILIES[peer.name]]
        for count, _ in COUNTS
    }
    counts = {}
    with contextlib.ExitStack() as stack:
        servers = {key: stack.enter_context(Server(peer, core="0,1")) for key, peer in variants.items()}
        for turn in options.turns("loops"):
            for connections, streams in SHAPES:
                for count, name in COUNTS:
                    for peer in dict.fromkeys(peer for peer, _ in variants):
                        row = row_of(connections, streams, name)
                        run = lambda calls: load.h2load(
                            servers[peer, count], connections, streams, calls, 10, core="0,1"
                        )
                        try:
                            if (row, peer) not in counts:
                                few = 10 * connections * streams
                                counts[row, peer] = load.calls_for(
                                    options.seconds, few, lambda calls: run(calls)[0]
                                )
                            _, cpu_seconds = run(counts[row, peer])
                            table.add(row, peer, cpu_seconds / counts[row, peer] * 1e6)
                        except Failed as why:
                            table.fail(row, peer, why)
    return [table]


def row_of(connections, streams, name):
    return f"{connections} × {streams}, {name}"
