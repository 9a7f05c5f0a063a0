"""The peers' own clients in a closed loop: CPU of the client, latency, and streams."""

import contextlib

from . import load
from .peers import US, clients_of
from .server import Failed, Server
from .table import Goal, Table

STREAMS = [  # name, kind, octets of a message, goal of the rate
    ("server stream, 1 KiB", "down", 1 << 10, 1500),
    ("server stream, 1 MiB", "down", 1 << 20, 2500),
    ("bidi echo, 1 KiB", "bidi", 1 << 10, 1000),
    ("bidi echo, 1 MiB", "bidi", 1 << 20, 1200),
]


def measure(peers, options):
    return [*client_cpu(peers, options), *latency(peers, options), *streams(peers, options)]


def client_cpu(peers, options):
    """100 calls at once on one connection, always against the same server, so that the client is what differs."""
    ours = next((peer for peer in peers if peer.name == US), None)
    clients = clients_of(peers)
    if not ours or not clients:
        return []
    cpu = Table(
        "Client CPU per unary call",
        "Microseconds, user and system",
        "Each client against lariat-server on the other core; raw against its own.",
        plot="client-cpu",
    )
    rate = Table("Unary calls by one client", "Thousand a second", "Of the same runs.", 1, True)
    row = "1 × 100, 10 B"
    cpu.goal(row, Goal(1.0))
    counts = {}
    with contextlib.ExitStack() as stack:
        our_server = stack.enter_context(Server(ours))
        servers = {
            peer: our_server if peer.speaks_http2 else stack.enter_context(Server(peer)) for peer in clients
        }
        for turn in options.turns("client CPU"):
            for peer in clients:
                run = lambda calls: load.client(peer, servers[peer], "unary", [1, 100, calls, 10])[0]
                try:
                    if peer not in counts:
                        counts[peer] = load.calls_for(options.seconds, 5000, lambda n: n / run(n)["per_s"])
                    figures = run(counts[peer])
                    cpu.add(row, peer.name, figures["client_cpu_us"])
                    rate.add(row, peer.name, figures["per_s"] / 1e3)
                except Failed as why:
                    cpu.fail(row, peer.name, why)
    return [cpu, rate]


def latency(peers, options):
    """Calls one by one, client and server on the same core."""
    table = Table(
        "Latency of a unary call, 10 B, one by one",
        "Microseconds",
        "One connection, client and server on one core, each peer's client with its own server; "
        "pajamax, which has no client, with tonic's.",
        1,
        plot="latency",
    )
    table.goal("p50", Goal(1.35, "raw"))
    table.goal("p99", Goal(1.6, "raw"))
    table.goal("client CPU", Goal(1.4, "raw"))
    by_name = {peer.name: peer for peer in peers}
    pairs = {peer.name: (peer, peer) for peer in peers if peer.client}
    if "pajamax" in by_name and "tonic" in by_name:
        pairs["pajamax"] = (by_name["tonic"], by_name["pajamax"])
    counts = {}
    with contextlib.ExitStack() as stack:
        servers = {
            server: stack.enter_context(Server(server, core=1)) for _, server in pairs.values()
        }
        for turn in options.turns("latency"):
            for name, (client, server) in pairs.items():
                run = lambda calls: load.client(client, servers[server], "unary", [1, 1, calls, 10])[0]
                try:
                    if name not in counts:
                        counts[name] = load.calls_for(options.seconds, 1000, lambda n: n / run(n)["per_s"])
                    figures = run(counts[name])
                except Failed as why:
                    table.fail("p50", name, why)
                    continue
                for row, key in [("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")]:
                    table.add(row, name, figures[key])
                table.add("client CPU", name, figures["client_cpu_us"])
    return [table]


def streams(peers, options):
    """One stream of messages as fast as they go, client and server on a core each."""
    rate = Table(
        "Streams",
        "1 KiB: thousand messages a second; 1 MiB: MB/s (bidi: each way)",
        "One stream on one connection. Raw: TCP written in pieces of 16 KiB.",
        0,
        True,
        plot="streams",
    )
    server_cpu = Table("Server CPU per message of a stream", "Microseconds", "Of the same runs.")
    client_cpu = Table("Client CPU per message of a stream", "Microseconds", "Of the same runs.")
    for row, _, _, goal in STREAMS:
        rate.goal(row, Goal(goal, at_least=True))
    for table in (server_cpu, client_cpu):
        table.goal(STREAMS[0][0], Goal(0.25))
    pairs = [peer for peer in peers if peer.client and peer.has_streams]
    counts = {}
    with contextlib.ExitStack() as stack:
        servers = {peer: stack.enter_context(Server(peer)) for peer in pairs}
        for turn in options.turns("streams"):
            for row, kind, size, _ in STREAMS:
                for peer in pairs:
                    if rate.failed(row, peer.name):
                        continue
                    run = lambda count: load.client(peer, servers[peer], kind, [count, size])
                    try:
                        if (row, peer) not in counts:
                            few = 50 if size > 1 << 10 else 10_000
                            counts[row, peer] = load.calls_for(
                                options.seconds, few, lambda n: n / run(n)[0]["per_s"]
                            )
                        count = counts[row, peer]
                        figures, cpu = run(count)
                        rate.add(row, peer.name, figures["mb_s"] if size > 1 << 10 else figures["per_s"] / 1e3)
                        server_cpu.add(row, peer.name, cpu / count * 1e6)
                        client_cpu.add(row, peer.name, figures["client_cpu_us"])
                    except Failed as why:
                        rate.fail(row, peer.name, why)
    return [rate, server_cpu, client_cpu]
