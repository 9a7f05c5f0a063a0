"""Small calls one after the other beside a large stream on the same connection, and alone."""

import contextlib
import json
import subprocess

from . import load
from .peers import PROGRAMS
from .server import Failed, Server
from .table import Goal, Table

CHUNKS = 1024  # of 1 MiB each
SIZE = 10  # octets of the calls' names


def measure(peers, options):
    table = Table(
        "Small calls beside a stream",
        "Microseconds a call",
        f"One connection: calls of 10 B one by one while a server stream of {CHUNKS:,} × 1 MiB runs, and as many without "
        "it. Client and server on a core each.",
        0,
        plot="beside",
    )
    stream = Table("The stream meanwhile", "MB/s", "Of the same runs.", 0, True)
    peers = [peer for peer in peers if peer.runs_beside]
    for row in ("p50 alone", "p99 alone", "p50 beside"):
        table.goal(row)
    if "tonic" in (peer.name for peer in peers):
        table.goal("p99 beside", Goal(1.0, "tonic"))
    with contextlib.ExitStack() as stack:
        servers = {peer: stack.enter_context(Server(peer)) for peer in peers}
        for turn in options.turns("beside"):
            for peer in peers:
                try:
                    large, *calls = run(peer, servers[peer])
                    stream.add("1 MiB", peer.name, large["mb_s"])
                    for figures in calls:
                        for quantile in ("p50", "p99"):
                            table.add(f"{quantile} {figures['kind']}", peer.name, figures[f"{quantile}_us"])
                except Failed as why:
                    table.fail("p99 beside", peer.name, why)
    return [table, stream]


def run(peer, server):
    """The figures of the stream from its second chunk on, of the calls beside it, and of those alone."""
    command = ["taskset", "-c", "1", PROGRAMS / peer.client, "beside", server.addr, str(CHUNKS), str(SIZE)]
    try:
        stream, beside, alone = map(json.loads, load.output_of(command).splitlines()[-3:])
    except ValueError:
        raise Failed("no figures") from None
    if not 0 < beside["n"] == alone["n"]:
        raise Failed(f"{beside['n']} calls beside the stream, {alone['n']} alone")
    reply = len("Hello ") + SIZE
    for figures, count, each in [(stream, CHUNKS - 1, 1 << 20), (beside, beside["n"], reply), (alone, beside["n"], reply)]:
        if (figures["n"], figures["octets"]) != (count, count * each):
            raise Failed(f"{figures['kind']}: {figures['n']} of {count}, {figures['octets']} octets")
    return stream, beside, alone
