"""Unary calls under load by h2load: the server's CPU time per call, and how many it answers."""

import contextlib

from . import load
from .server import Failed, Server
from .table import Goal, Table

SHAPES = [  # connections, streams, octets of the name, goals
    (1, 1, 10, [Goal(1.10, "floor")]),
    (1, 100, 10, [Goal(1.0, "pajamax"), Goal(1 / 12, "tonic")]),
    (10, 100, 10, [Goal(1.0, "pajamax"), Goal(1 / 11, "tonic")]),
    (100, 10, 10, [Goal(0.8, "pajamax"), Goal(1 / 5, "tonic")]),
    (1, 100, 1024, [Goal(1 / 8, "tonic"), Goal(2, "floor")]),
    (100, 10, 1024, [Goal(1.0, "pajamax")]),
]


def row_of(connections, streams, size):
    return f"{connections} × {streams}, {size} B"


def measure(peers, options):
    cpu = Table(
        "Server CPU per unary call",
        "Microseconds, user and system",
        "Rows: connections × streams, size of the name. h2load on the other core. "
        "The floor answers canned octets with no protocol at all.",
        plot="server-cpu",
    )
    rate = Table("Unary calls", "Thousand a second", "Of the same runs; at 1 × 100 h2load is the limit.", 1, True)
    for *shape, goals in SHAPES:
        cpu.goal(row_of(*shape), *goals)
    peers = [peer for peer in peers if peer.speaks_http2]
    counts = {}
    with contextlib.ExitStack() as stack:
        servers = {
            (peer, size): stack.enter_context(Server(peer, size)) for size in (10, 1024) for peer in peers
        }
        for turn in options.turns("unary"):
            for connections, streams, size, _ in SHAPES:
                row = row_of(connections, streams, size)
                for peer in peers:
                    if cpu.failed(row, peer.name):
                        continue
                    run = lambda calls: load.h2load(servers[peer, size], connections, streams, calls, size)
                    try:
                        if (row, peer) not in counts:
                            few = max(1000, 10 * connections * streams)
                            counts[row, peer] = load.calls_for(options.seconds, few, lambda calls: run(calls)[0])
                        calls = counts[row, peer]
                        seconds, cpu_seconds = run(calls)
                        cpu.add(row, peer.name, cpu_seconds / calls * 1e6)
                        rate.add(row, peer.name, calls / seconds / 1e3)
                    except Failed as why:
                        cpu.fail(row, peer.name, why)
                        rate.fail(row, peer.name, why)
    return [cpu, rate]
