"""Small calls one after the other beside a large stream on the same connection, and alone."""

import contextlib
import json
import subprocess

from . import load
from .peers import PROGRAMS
from .server import Failed, Server
from .table import Goal, Table

CHUNKS = 1024  # of 1 MiB each


def measure(peers, options):
    table = Table(
        "Small calls beside a stream",
        "Microseconds a call",
        f"One connection: calls of 10 B one by one while a server stream of {CHUNKS:,} × 1 MiB runs, and as many without "
        "it. Client and server on a core each.",
        0,
        plot="beside",
    )
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
                    for figures in run(peer, servers[peer]):
                        for quantile in ("p50", "p99"):
                            table.add(f"{quantile} {figures['kind']}", peer.name, figures[f"{quantile}_us"])
                except Failed as why:
                    table.fail("p99 beside", peer.name, why)
    return [table]


def run(peer, server):
    """The figures of the calls beside the stream, and of those alone."""
    command = ["taskset", "-c", "1", PROGRAMS / peer.client, "beside", server.addr, str(CHUNKS), "10"]
    try:
        beside, alone = map(json.loads, load.output_of(command).splitlines()[-2:])
    except ValueError:
        raise Failed("no figures") from None
    if not 0 < beside["n"] == alone["n"]:
        raise Failed(f"{beside['n']} calls beside the stream, {alone['n']} alone")
    return beside, alone
