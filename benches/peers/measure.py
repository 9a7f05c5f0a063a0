#!/usr/bin/env python3
"""Server CPU time per unary call, of Lariat and its peers, in one interleaved run.

Each server runs pinned to core 0, h2load to core 1, over loopback in plaintext. Every round measures every server at
every shape (connections x streams) once, so that a drift of the machine meets all alike; the table shows the medians.
CPU time is the server process's user + system time from /proc. A run counts only if h2load saw no failure and the octets
of the answers are those of real answers. Build first: `cargo build --release`; needs h2load (nghttp2-client).
"""

import argparse
import os
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
SERVERS = {
    "floor": ["floor-server", "--size", "SIZE"],
    "pajamax": ["pajamax-server"],
    "tonic": ["tonic-server"],
    "tonic-mt": ["tonic-server", "--threads", "2"],
    "lariat": ["lariat-server"],
}  # SIZE stands for the size of the names
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Server:
    """A running server, pinned to core 0."""

    def __init__(self, name, target, size):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        program, *options = SERVERS[name]
        command = ["taskset", "-c", "0", str(target / program), "--port", str(self.port)]
        command += [str(size) if option == "SIZE" else option for option in options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(100):
            time.sleep(0.05)
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                pass
        raise SystemExit(f"{name} did not start")

    def cpu_seconds(self):
        """User and system time of all its threads, ended ones included."""
        after_name = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_SECOND


class Load:
    """What h2load did in one run."""

    def __init__(self, server, body, shape, calls, reply_len):
        connections, streams = shape
        command = ["taskset", "-c", "1", "h2load", f"-n{calls}", f"-c{connections}", f"-m{streams}", "-t1"]
        command += ["-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += [f"http://127.0.0.1:{server.port}/helloworld.Greeter/SayHello"]
        cpu, started = server.cpu_seconds(), time.monotonic()
        try:
            report = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        except subprocess.TimeoutExpired:
            raise Failed("no answer") from None
        self.seconds, self.cpu = time.monotonic() - started, server.cpu_seconds() - cpu
        self.calls = calls
        succeeded = int(found(r"(\d+) succeeded", report))
        payload = int(found(r"\((\d+)\) data", report))
        if succeeded != calls or payload != calls * reply_len:
            raise Failed(f"{succeeded} of {calls} answered, {payload} octets")


class Failed(Exception):
    """A run that does not count."""


def found(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise Failed("h2load said nothing")
    return match[1]


def framed(field_text):
    """A length-prefixed message whose field 1 is the text."""
    length = len(field_text)
    varint = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    message = b"\x0a" + varint + field_text
    return b"\0" + struct.pack(">I", len(message)) + message


def shape(text):
    connections, streams = text.split("x")
    return int(connections), int(streams)


def measure(server, body, at, seconds, reply_len):
    """CPU microseconds per call and calls per second, over about that many seconds."""
    first = Load(server, body, at, max(2000, 20 * at[0] * at[1]), reply_len)
    calls = int(first.calls / first.seconds * seconds)
    run = Load(server, body, at, max(calls, first.calls), reply_len)
    return run.cpu / run.calls * 1e6, run.calls / run.seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default="floor,pajamax,tonic,lariat", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--shapes", default="1x1,1x100,10x100,100x10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one measurement")
    parser.add_argument("--size", type=int, default=10, help="octets of the name, below 16378")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target")) / "release"
    parser.add_argument("--target", type=pathlib.Path, default=target, help="where the programs are")
    options = parser.parse_args()

    names, shapes = options.servers.split(","), options.shapes.split(",")
    name = b"abcdefghij" * (options.size // 10) + b"x" * (options.size % 10)
    results = {(s, n): [] for s in shapes for n in names}
    servers = {}
    with tempfile.NamedTemporaryFile() as body:
        body.write(framed(name))
        body.flush()
        try:
            for server in names:
                servers[server] = Server(server, options.target, options.size)
            for turn in range(options.rounds):
                for at in shapes:
                    for server in names:
                        print(f"round {turn + 1}: {at} {server}", file=sys.stderr)
                        try:
                            reply_len = len(framed(b"Hello " + name))
                            one = measure(servers[server], body.name, shape(at), options.seconds, reply_len)
                            results[at, server].append(one)
                        except Failed as why:
                            print(f"{at} {server}: {why}", file=sys.stderr)
        finally:
            for server in servers.values():
                server.process.kill()

    print(f"Unary, {options.size} B name: server CPU us per call (thousand calls/s), medians of {options.rounds}\n")
    print("| connections x streams |", " | ".join(names), "|")
    print("|---|" + "---|" * len(names))
    for at in shapes:
        cells = [cell(results[at, server]) for server in names]
        print(f"| {at} |", " | ".join(cells), "|")


def cell(runs):
    if not runs:
        return "fails"
    cpu, rate = (statistics.median(column) for column in zip(*runs))
    return f"{cpu:.2f} ({rate / 1000:.1f})"


if __name__ == "__main__":
    main()
