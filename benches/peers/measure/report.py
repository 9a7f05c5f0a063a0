"""The report: what was measured where and when, a table for each thing, and plots."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

from . import plot
from .peers import HERE


def write(tables, to, command):
    """Writes report.md and the plots into a folder."""
    to.mkdir(parents=True, exist_ok=True)
    for old in to.glob("*.svg"):
        old.unlink()
    parts = ["# Lariat beside its peers", "", *heading(command), ""]
    for table in tables:
        if not table.columns:
            continue
        parts.append(table.markdown())
        if table.plot:
            (to / f"{table.plot}.svg").write_text(plot.bars(table))
            parts.append(f"![{table.title}]({table.plot}.svg)\n")
    (to / "report.md").write_text("\n".join(parts))


def heading(command):
    """How to read it, and where it comes from."""
    lock = (HERE / "Cargo.lock").read_text()
    crate = lambda name: re.search(rf'name = "{name}"\nversion = "(.*?)"', lock)[1]
    grpc_go = re.search(r"google.golang.org/grpc (v\S+)", (HERE / "go" / "go.mod").read_text())[1]
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    versions = [
        f"lariat {said('git', 'describe', '--always', '--dirty')}",
        said("rustc", "--version").rpartition(" (")[0],
        f"tonic {crate('tonic')}",
        f"pajamax {crate('pajamax')}",
        f"grpc-go {grpc_go} with {said('go', 'version').removeprefix('go version ').split(' ')[0]}",
        said("h2load", "--version"),
    ]
    return [
        "Medians, and from the lowest to the highest run in brackets. Compare within a row: absolute times are the",
        "machine's, and drift. Plaintext over loopback; the server on one core and the load on the other.",
        "Every run counted only if all calls were answered with the right octets.",
        "",
        f"- Date: {datetime.datetime.now(datetime.UTC):%d %B %Y, %H:%M} UTC",
        f"- Machine: {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores,"
        f" Linux {platform.release()}",
        f"- Versions: {', '.join(version for version in versions if version)}",
        f"- Command: `{command}`",
    ]


def said(*command):
    """The first line a program prints, or nothing if it is not here."""
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""
