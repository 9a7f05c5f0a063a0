"""Instructions, system calls and octets per call, by the difference of a run with many calls and one with few. A call's
own work is exact; how many calls share a turn of the loop, and a system call, depends on the load beside it."""

import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from . import load
from .peers import HERE, clients_of
from .server import Failed, Server
from .table import Goal, Table

FEW, MANY = 2_000, 12_000
FEW_OCTETS, MANY_OCTETS = 200, 1_200
REQUEST, RESPONSE = len(load.framed(b"x" * 10)) - 5, len(load.framed(b"Hello " + b"x" * 10)) - 5


def measure(peers, options):
    tables = []
    if shutil.which("valgrind"):
        tables.append(instructions(peers, options))
        tables.append(client_instructions(peers, options))
    if shutil.which("strace"):
        tables.append(system_calls(peers, options))
    return [*tables, octets(peers, options)]


def instructions(peers, options):
    table = Table(
        "Instructions of the server per unary call",
        "Instructions in user space, by callgrind",
        "Of peers with one thread. With many calls at once it varies by some percent, as more or fewer share a turn.",
        0,
        plot="instructions",
    )
    shapes = [((1, 100, 10), 2500), ((1, 1, 10), 3000), ((1, 100, 1024), 3000)]
    for (connections, streams, size), goal in shapes:
        row = f"{connections} × {streams}, {size} B"
        table.goal(row, Goal(goal))
        for peer in peers:
            if not (peer.speaks_http2 and peer.under_callgrind):
                continue
            options.say(f"instructions: {row} {peer.name}")
            command = [HERE / "instructions.sh", "--size", size, connections, streams, peer.name]
            try:
                said = subprocess.run(map(str, command), capture_output=True, text=True, timeout=240, check=True)
                table.add(row, peer.name, int(said.stdout.split()[-1]))
            except (subprocess.SubprocessError, ValueError) as why:
                table.fail(row, peer.name, why)
    return table


def client_instructions(peers, options):
    table = Table("Instructions of the client per unary call", "Instructions in user space, by callgrind", "1 × 100, "
        "10 B; of clients with one thread, each with its own server.", 0)
    for peer in clients_of(peers):
        if not (peer.speaks_http2 and peer.under_callgrind):
            continue
        options.say(f"instructions of the client: {peer.name}")
        with Server(peer) as server, tempfile.NamedTemporaryFile() as out:
            wrap = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}"]
            try:
                few, many = (instructions_of(peer, server, calls, wrap, out.name) for calls in (FEW, MANY))
                table.add("1 × 100, 10 B", peer.name, (many - few) / (MANY - FEW))
            except Failed as why:
                table.fail("1 × 100, 10 B", peer.name, why)
    return table


def instructions_of(peer, server, calls, wrap, out):
    """Of a client from its start to its end. taskset, which `load.client` puts in front, becomes the client."""
    load.client(peer, server, "unary", [1, 100, calls, 10], wrap=[*wrap, "--trace-children=yes"])
    lines = pathlib.Path(out).read_text().splitlines()
    totals = [line.split()[1] for line in lines if line.startswith(("totals:", "summary:"))]
    if not totals:
        raise Failed("callgrind said nothing")
    return int(totals[0])


def system_calls(peers, options):
    table = Table("System calls per unary call", "By strace", "Server: load by h2load; client: its own server. "
        "Three are one to wait, to read and to write; a little more is what happens now and then.")
    for streams, goal in [(1, 3.05), (100, 0.1)]:
        for side in ("server", "client"):
            table.goal(f"{side}, 1 × {streams}", Goal(goal))
    for streams in (1, 100):
        for peer in peers:
            options.say(f"system calls: 1 × {streams} {peer.name}")
            for side, count in [("server", server_calls)] + [("client", client_calls)] * (peer in clients_of(peers)):
                row = f"{side}, 1 × {streams}"
                try:
                    with Server(peer) as server, tempfile.NamedTemporaryFile() as log:
                        few, many = (count(peer, server, streams, calls, log.name) for calls in (FEW, MANY))
                    table.add(row, peer.name, (many - few) / (MANY - FEW))
                except Failed as why:
                    table.fail(row, peer.name, why)
    return table


def server_calls(peer, server, streams, calls, log):
    tracer = subprocess.Popen(
        ["strace", "-c", "-f", "-o", log, "-p", str(server.pid)], stderr=subprocess.PIPE, text=True
    )
    if "attached" not in tracer.stderr.readline():
        raise Failed("strace may not trace")
    try:
        if peer.speaks_http2:
            load.h2load(server, 1, streams, calls, 10)
        else:
            load.client(peer, server, "unary", [1, streams, calls, 10])
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    return total_of(log)


def client_calls(peer, server, streams, calls, log):
    load.client(peer, server, "unary", [1, streams, calls, 10], wrap=["strace", "-c", "-f", "-o", log])
    return total_of(log)


def total_of(log):
    """The count in strace's last line: share, seconds, microseconds a call, calls, perhaps errors, `total`."""
    last = pathlib.Path(log).read_text().splitlines()[-1:]
    if not last or not last[0].endswith("total"):
        raise Failed("strace said nothing")
    return int(last[0].split()[3])


def octets(peers, options):
    table = Table(
        "Octets on the wire per small unary call, beyond the message",
        "Octets of TCP payload",
        "One by one, in steady state, each client with its own server.",
        plot="octets",
    )
    table.goal("request", Goal(9 + 16 + 9 + 5))
    table.goal("response", Goal(9 + 4 + 9 + 5 + 9 + 2))
    for peer in clients_of(peers):
        if not peer.speaks_http2:
            continue
        options.say(f"octets: {peer.name}")
        with Server(peer) as server:
            try:
                few, many = (relayed(peer, server, calls) for calls in (FEW_OCTETS, MANY_OCTETS))
            except Failed as why:
                table.fail("request", peer.name, why)
                continue
        for row, index, message in [("request", 0, REQUEST), ("response", 1, RESPONSE)]:
            each = (many[index] - few[index]) / (MANY_OCTETS - FEW_OCTETS)
            table.add(row, peer.name, each - message)
    return table


def relayed(peer, server, calls):
    """Octets to the server and back of so many calls through a relay."""
    counts = [0, 0]

    def pump(source, sink, index):
        while octets := source.recv(65536):
            counts[index] += len(octets)
            sink.sendall(octets)
        sink.shutdown(socket.SHUT_WR)

    def serve(listener):
        inbound, _ = listener.accept()
        outbound = socket.create_connection(("127.0.0.1", server.port))
        for end in (inbound, outbound):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=quietly, args=(pump, outbound, inbound, 1))
        back.start()
        quietly(pump, inbound, outbound, 0)
        back.join()
        inbound.close()
        outbound.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = threading.Thread(target=serve, args=(listener,), daemon=True)
        relay.start()
        addr = f"127.0.0.1:{listener.getsockname()[1]}"
        load.client(peer, server, "unary", [1, 1, calls, 10], addr=addr)
        relay.join(5)
    return counts


def quietly(pump, *arguments):
    """A connection may end as it likes."""
    try:
        pump(*arguments)
    except OSError:
        pass
