"""What a user pays before the first call: the time of a clean release build, crates in the tree, the binary's size."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from .peers import HERE
from .table import Goal, Table

# Cargo's own release profile, not the one that the peers are measured with.
PROFILE = {
    "CARGO_PROFILE_RELEASE_LTO": "false",
    "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16",
    "CARGO_PROFILE_RELEASE_DEBUG": "0",
}


def measure(peers, options):
    table = Table(
        "Build of the server (no TLS)",
        "As each row says",
        "Cargo's default release profile, all from source, code generation included.",
        1,
    )
    time_row, crates_row, size_row = "clean build, s", "crates in the tree", "stripped binary, MB"
    for row, goal in [(time_row, 20), (crates_row, 25), (size_row, 1)]:
        table.goal(row, Goal(goal))
    for peer in peers:
        if not peer.package:
            continue
        options.say(f"build: {peer.name}")
        subprocess.run(["cargo", "fetch", "--quiet"], cwd=HERE, check=True)
        with tempfile.TemporaryDirectory() as target:
            command = ["cargo", "build", "--quiet", "--release", "--offline", "-p", peer.package]
            command += ["--bin", peer.server[0], "--no-default-features", "--target-dir", target]
            started = time.monotonic()
            subprocess.run(command, cwd=HERE, env=os.environ | PROFILE, check=True)
            table.add(time_row, peer.name, time.monotonic() - started)
            program = pathlib.Path(target) / "release" / peer.server[0]
            subprocess.run([shutil.which("strip") or "true", program], check=True)
            table.add(size_row, peer.name, program.stat().st_size / 1e6)
        tree = ["cargo", "tree", "--offline", "-p", peer.package, "-e", "normal", "--prefix", "none", "--no-default-features"]
        lines = subprocess.run(tree, cwd=HERE, capture_output=True, text=True, check=True).stdout.splitlines()
        crates = {line.split(" (")[0] for line in lines if line and not line.startswith("peer-")}
        table.add(crates_row, peer.name, len(crates))
    return [table]
