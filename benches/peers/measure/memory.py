"""Resident memory of a server: per idle connection, per open stream, and what it keeps when all are closed."""

import contextlib
import resource
import time

from . import http2
from .http2 import TEXT
from .load import framed
from .server import Failed, Server
from .table import Goal, Table

IDLE = 1000
STREAMS = (100, 100)
SETTLE = 1  # seconds before a reading
CALLS, SETTLE_AFTER_CALLS = 10, 3  # of a connection that has been in use, and seconds before its reading
AFTER_CLOSE = 5  # seconds

USED = f"idle connection after {CALLS} calls"


def measure(peers, options):
    allow_descriptors()
    each = Table(
        "Memory of the server",
        "KiB resident",
        f"{IDLE:,} connections, read {SETTLE} s after a call each or {SETTLE_AFTER_CALLS} s after "
        f"{CALLS} calls each; {STREAMS[0]} × {STREAMS[1]} open Echo streams that have had "
        "a message back.",
        1,
        plot="memory",
    )
    kept = Table(
        "Memory that the server keeps",
        "MiB more than at the start",
        f"{AFTER_CLOSE} seconds after all of the above are closed.",
    )
    each.goal("idle connection", Goal(2))
    each.goal(USED, Goal(2))
    each.goal("open stream", Goal(1))
    for row in ("after connections", f"after those of {CALLS} calls", "after streams"):
        kept.goal(row, Goal(2))
    peers = [peer for peer in peers if peer.speaks_http2]
    with_streams = [peer for peer in peers if peer.has_streams]
    for turn in options.turns("memory", most=2):
        of_peers(peers, idle, "idle connection", each, "after connections", kept)
        of_peers(peers, used, USED, each, f"after those of {CALLS} calls", kept, SETTLE_AFTER_CALLS)
        of_peers(with_streams, streams, "open stream", each, "after streams", kept)
    return [each, kept]


def allow_descriptors():
    """Raises the limit of open files, which servers inherit, as far as it may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def of_peers(peers, load, row, each, row_after, kept, settle=SETTLE):
    """Loads a server of each peer at the same time, so that the waiting is done once."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(peer)) for peer in peers]
        for server in servers:
            first = http2.Connection(server.port)
            first.call()
            first.close()
        time.sleep(SETTLE)
        start = {server: server.resident_kib() for server in servers}
        loaded = {}
        for server in servers:
            try:
                loaded[server] = load(server)
            except (Failed, OSError) as why:
                each.fail(row, server.peer.name, why)
                kept.fail(row_after, server.peer.name, why)
        time.sleep(settle)
        for server, (connections, opened) in loaded.items():
            each.add(row, server.peer.name, (server.resident_kib() - start[server]) / opened)
            for connection in connections:
                connection.close()
        time.sleep(AFTER_CLOSE)
        for server in loaded:
            kept.add(row_after, server.peer.name, (server.resident_kib() - start[server]) / 1024)


def idle(server, count=IDLE):
    connections = [http2.Connection(server.port) for _ in range(count)]
    for connection in connections:
        connection.call()
    return connections, count


def used(server):
    connections, count = idle(server)
    for _ in range(CALLS - 1):
        for connection in connections:
            connection.call()
    return connections, count


def streams(server, shape=STREAMS):
    count, each = shape
    connections = [http2.Connection(server.port) for _ in range(count)]
    for connection in connections:
        starts = [connection.open("Echo", TEXT, False) for _ in range(each)]
        connection.socket.sendall(b"".join(starts))
        connection.read_data(framed(TEXT) * each)
    return connections, count * each
