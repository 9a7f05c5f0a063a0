"""Load on a server: h2load, and the peers' own closed-loop clients. A run counts only if every answer was right."""

import json
import re
import struct
import subprocess
import tempfile
import time

from . import peers
from .server import Failed

TIMEOUT = 30  # seconds; a run takes a few at most


def framed(text):
    """The length-prefixed message whose field 1 is a text of below 16,384 octets."""
    length = len(text)
    varint = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
    message = b"\x0a" + varint + text
    return b"\0" + struct.pack(">I", len(message)) + message


def h2load(server, connections, streams, calls, size, core=1):
    """Makes so many unary calls. Returns seconds and the server's CPU seconds."""
    name = b"x" * size
    with tempfile.NamedTemporaryFile() as body:
        body.write(framed(name))
        body.flush()
        command = ["taskset", "-c", str(core), "h2load", f"-n{calls}", f"-c{connections}", f"-m{streams}", "-t1"]
        command += ["-d", body.name, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        command += [f"http://{server.addr}/helloworld.Greeter/SayHello"]
        cpu, started = server.cpu_seconds(), time.monotonic()
        report = output_of(command)
        seconds, cpu = time.monotonic() - started, server.cpu_seconds() - cpu
    succeeded, octets = number(r"(\d+) succeeded", report), number(r"\((\d+)\) data", report)
    if succeeded != calls or octets != calls * len(framed(b"Hello " + name)):
        raise Failed(f"{succeeded} of {calls} calls answered, {octets} octets")
    return seconds, cpu


def client(peer, server, kind, numbers, core=1, addr=None, wrap=()):
    """Runs a peer's client; see lariat-client for kinds and numbers. Returns its figures and the server's CPU seconds."""
    *_, count, size = numbers
    command = [*wrap, "taskset", "-c", str(core), peers.PROGRAMS / peer.client, kind, addr or server.addr]
    cpu = server.cpu_seconds()
    try:
        figures = json.loads(output_of([*command, *map(str, numbers)]).splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed("no figures") from None
    expected = count * (len("Hello ") + size if kind == "unary" else size)
    if figures["n"] != count or figures["octets"] != expected:
        raise Failed(f"{figures['n']} of {count} answered, {figures['octets']} of {expected} octets")
    return figures, server.cpu_seconds() - cpu


def calls_for(seconds, calls, run):
    """How many calls take about that long, by runs of a few, which also warm everything up. `run` returns seconds."""
    while (took := run(calls)) < seconds / 4:
        calls = int(calls * min(10, max(2, seconds / 3 / took)))
    return max(1, int(calls * seconds / took))


def output_of(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise Failed("no answer") from None
    if done.returncode:
        raise Failed((done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])
    return done.stdout


def number(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise Failed("h2load said nothing")
    return int(match[1])
