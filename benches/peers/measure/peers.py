"""The peers: what programs each has, and how they are built."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).parent.parent
PROGRAMS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE / "target")).absolute() / "release"
US = "lariat"


@dataclasses.dataclass(frozen=True)
class Peer:
    """A server and perhaps a client. SIZE in a command stands for the octets of the names."""

    name: str
    server: tuple
    client: str = ""
    speaks_http2: bool = True
    has_streams: bool = True
    package: str = ""  # of the cargo workspace
    under_callgrind: bool = True
    runs_beside: bool = False  # the client has calls beside a stream


PEERS = [
    Peer("raw", ("raw-server",), "raw-client", speaks_http2=False),
    Peer("floor", ("floor-server", "--size", "SIZE"), has_streams=False),
    Peer("pajamax", ("pajamax-server",), has_streams=False, package="peer-pajamax"),
    Peer("tonic", ("tonic-server",), "tonic-client", package="peer-tonic", runs_beside=True),
    Peer("tonic-mt", ("tonic-server", "--threads", "2"), "tonic-client", under_callgrind=False, runs_beside=True),
    Peer("go", ("go-server",), "go-client", under_callgrind=False),
    Peer(US, ("lariat-server",), "lariat-client", package="peer-lariat", runs_beside=True),
]


def clients_of(peers):
    """Peers with a client, each client once: what is measured of it does not depend on its own server."""
    return list({peer.client: peer for peer in reversed(peers) if peer.client}.values())[::-1]


def chosen(names):
    """The peers of these names, or all, without those whose toolchain is not here."""
    absent = {}
    if not (shutil.which("go") and shutil.which("protoc")):
        absent["go"] = "needs go and protoc"
    unknown = set(names) - {peer.name for peer in PEERS}
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}")
    for name, why in absent.items():
        if not names or name in names:
            print(f"without {name}: {why}", file=sys.stderr)
    return [peer for peer in PEERS if peer.name not in absent and (not names or peer.name in names)]


def build(peers):
    """Builds the programs of these peers."""
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=HERE, check=True)
    if any(peer.name == "go" for peer in peers):
        subprocess.run([HERE / "go" / "build.sh", PROGRAMS], check=True)
