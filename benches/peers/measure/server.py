"""A running server."""

import pathlib
import socket
import subprocess
import time

from . import peers


class Failed(Exception):
    """A run that does not count, and why."""


class Server:
    """A peer's server, pinned to a core. Use it in a `with`."""

    def __init__(self, peer, size=10, core=0):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.peer = peer
        self.addr = f"127.0.0.1:{self.port}"
        program, *options = peer.server
        options = [str(size) if option == "SIZE" else option for option in options]
        command = ["taskset", "-c", str(core), peers.PROGRAMS / program, "--port", str(self.port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid
        for _ in range(200):
            time.sleep(0.05)
            try:
                return socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                pass
        self.process.kill()
        raise SystemExit(f"{peer.name} did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def cpu_seconds(self):
        """User and system time of all its threads, ended ones included."""
        process_clock = (~self.pid << 3) | 2  # as clock_getcpuclockid(3) makes it: exact, where /proc has ticks
        return time.clock_gettime(process_clock)

    def resident_kib(self):
        """Resident memory."""
        lines = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
