"""Whether a call costs the same however much else is open: idle connections, waiting streams."""

import contextlib
import multiprocessing

from . import load, memory
from .peers import US
from .server import Failed, Server
from .table import Goal, Table

IDLE = 10_000
STREAMS = (1000, 100)  # connections, waiting streams on each
CALLS = (1, 100, 10)  # connections, streams, octets of the name
ALONE = "nothing else"
MORE = 1.1  # the processor's caches, of which there is one
NAMES = (US, "tonic")


def measure(peers, options):
    memory.allow_descriptors()
    table = Table(
        "Server CPU per unary call beside what is open",
        "Microseconds, user and system",
        f"{CALLS[0]} × {CALLS[1]}, {CALLS[2]} B, load on the other core.",
        plot="scale",
    )
    connections, each = STREAMS
    loads = {
        ALONE: lambda server: None,
        f"{IDLE:,} idle connections": lambda server: memory.idle(server, IDLE),
        f"{connections * each:,} waiting streams": lambda server: memory.streams(server, STREAMS),
    }
    peers = [peer for peer in peers if peer.name in NAMES]
    for row in loads:
        goals = [] if row == ALONE else [Goal(MORE, US, row=ALONE)]
        table.goal(row, *goals)
    counts = {}
    with contextlib.ExitStack() as stack:
        servers = {(peer, row): stack.enter_context(Server(peer)) for peer in peers for row in loads}
        for (peer, row), server in servers.items():
            try:
                hold(loads[row], server, stack)
            except (Failed, OSError) as why:
                table.fail(row, peer.name, why)
        for turn in options.turns("scale"):
            for (peer, row), server in servers.items():
                if table.failed(row, peer.name):
                    continue
                run = lambda calls: load.h2load(server, *CALLS[:2], calls, CALLS[2])
                try:
                    if peer not in counts:
                        counts[peer] = load.calls_for(options.seconds, 10_000, lambda calls: run(calls)[0])
                    _, cpu_seconds = run(counts[peer])
                    table.add(row, peer.name, cpu_seconds / counts[peer] * 1e6)
                except Failed as why:
                    table.fail(row, peer.name, why)
    return [table]


def hold(load, server, stack):
    """Keeps a load open until the stack ends, in a process of its own: more descriptors than one may have."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def keep():
        try:
            held = load(server)
            theirs.send(None)
            theirs.recv()
            del held
        except (Failed, OSError) as why:
            theirs.send(str(why))

    process = context.Process(target=keep, daemon=True)
    process.start()
    theirs.close()  # so that its death is seen
    stack.callback(process.kill)
    if why := ours.recv():
        raise Failed(why)
