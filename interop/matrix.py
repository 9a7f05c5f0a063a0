#!/usr/bin/env python3
"""The gRPC interoperability tests: every client against every server, in plaintext and over TLS.

Runs each client's cases against each server and writes the table `RESULTS.md`; ends with status 1 if a case failed.
`interop/matrix.sh` builds everything and calls it.
"""

import argparse
import datetime
import pathlib
import re
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
OVERRIDE = "foo.test.google.fr"
# A case that takes longer hangs.
TIMEOUT = 60

BASIC = (
    "empty_unary large_unary client_streaming server_streaming ping_pong empty_stream custom_metadata "
    "status_code_and_message special_status_message unimplemented_method unimplemented_service cancel_after_begin "
    "cancel_after_first_response timeout_on_sleeping_server rpc_soak channel_soak"
).split()
FURTHER = ["pick_first_unary", "concurrent_large_unary", "long_lived_channel"]
COMPRESSED = [
    "client_compressed_unary",
    "server_compressed_unary",
    "client_compressed_streaming",
    "server_compressed_streaming",
]
ORCA = ["orca_per_rpc", "orca_oob"]
CASES = BASIC + FURTHER + ORCA + COMPRESSED + ["per_rpc_creds"]
HTTP2 = "goaway rst_after_header rst_during_data rst_after_data ping max_streams data_frame_padding".split()

# What grpc-go's client of the HTTP/2 cases does not offer, or gets wrong: in `rst_during_data` it wants UNKNOWN, where
# the mapping of NO_ERROR (grpc's PROTOCOL-HTTP2 document) and grpc-go itself give INTERNAL.
GO_HTTP2_LACKING = ("data_frame_padding", "rst_during_data")

# The policy through which clients see load reports.
ORCA_CLIENT = ['--service_config_json={"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}']

# What a client does not offer.
LACKING = {
    "grpc-go": ["concurrent_large_unary", "long_lived_channel", *COMPRESSED, "per_rpc_creds"],
    "grpcio": ["pick_first_unary", "long_lived_channel", "client_compressed_streaming", "per_rpc_creds", *ORCA],
    "tonic": [
        *ORCA,
        "cancel_after_begin",
        "cancel_after_first_response",
        "pick_first_unary",
        "long_lived_channel",
        "client_compressed_streaming",
        "server_compressed_streaming",
        "per_rpc_creds",
    ],
}
# What a server does not do.
WANTING = {
    "grpc-go": {
        **dict.fromkeys(COMPRESSED, "its test server leaves these fields alone"),
        "per_rpc_creds": "its test server tells no names",
    },
    "grpcio": {
        **dict.fromkeys(ORCA, "our test server for it reports no load"),
        "client_compressed_unary": "a handler cannot see whether a message was compressed",
        "client_compressed_streaming": "a handler cannot see whether a message was compressed",
        "pick_first_unary": "our test server for it has no name",
        "per_rpc_creds": "our test server for it tells no names",
    },
    "tonic": {
        **dict.fromkeys(COMPRESSED, "a handler can neither see nor choose whether a message is compressed"),
        **dict.fromkeys(ORCA, "our test server for it reports no load"),
        "custom_metadata": "a unary handler cannot set trailers",
        "pick_first_unary": "our test server for it has no name",
        "per_rpc_creds": "our test server for it tells no names",
    },
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Programs:
    """Where the clients and servers are."""

    def __init__(self, options):
        ours, peers, tonic = options.programs, options.peers, options.tonic
        python = [str(peers / "venv/bin/python")]
        self.clients = {
            "lariat": [str(ours / "interop-client")],
            "grpc-go": [str(peers / "bin/grpc-go-interop-client")],
            "grpcio": [*python, str(HERE / "python/interop_client.py")],
            "tonic": [str(tonic / "tonic-interop-client")],
        }
        self.servers = {
            "lariat": [str(ours / "interop-server")],
            "grpc-go": [str(peers / "bin/grpc-go-interop-server")],
            "grpcio": [*python, str(HERE / "python/interop_server.py")],
            "tonic": [str(tonic / "tonic-interop-server")],
        }
        self.http2_server = [str(ours / "http2-test-server")]
        self.go_http2_client = [str(peers / "bin/grpc-go-http2-client")]
        certificates = options.certificates
        self.tls_server = [
            "--use_tls=true",
            f"--tls_cert_file={certificates}/server.pem",
            f"--tls_key_file={certificates}/server.key",
        ]
        self.tls_client = [
            "--use_tls=true",
            f"--ca_file={certificates}/ca.pem",
            f"--server_host_override={OVERRIDE}",
        ]
        # grpc-go's client looks at the file only if told so.
        self.tls_extra = {"grpc-go": ["--use_test_ca=true"]}


class Server:
    """A running server; a context that ends it."""

    def __init__(self, command):
        # Somebody else may take the port before the server does: then it ends, and another port is tried.
        if not any(self.start(command, free_port()) for _ in range(5)):
            raise SystemExit(f"did not start: {' '.join(command)}")

    def start(self, command, port):
        """Whether the server listens at this port."""
        self.port = port
        self.process = subprocess.Popen(
            [*command, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(600):
            time.sleep(0.1)
            if self.process.poll() is not None:
                return False
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return True
            except ConnectionRefusedError:
                pass
        self.process.kill()
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def run_case(client, port, case, extra):
    """None if the case passed, else what the client said."""
    command = [*client, "--server_host=127.0.0.1", f"--server_port={port}", f"--test_case={case}", *extra]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"no end within {TIMEOUT} s"
    if done.returncode == 0:
        return None
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return re.sub(r"\s+", " ", lines[-1])[:200] if lines else f"status {done.returncode}"


class Matrix:
    """Outcomes by client, server, transport and case."""

    def __init__(self):
        self.outcomes = {}
        self.failures = []

    def run(self, programs, clients, servers, transports):
        for transport in transports:
            server_flags, client_flags = [], []
            if transport == "TLS":
                server_flags, client_flags = programs.tls_server, programs.tls_client
            for server in servers:
                with Server(programs.servers[server] + server_flags) as running:
                    for client in clients:
                        if "lariat" not in (client, server):
                            continue
                        for case in CASES:
                            self.one(programs, client, server, transport, case, running.port, client_flags)

    def one(self, programs, client, server, transport, case, port, flags):
        if case in LACKING.get(client, ()):
            outcome = "-"
        elif case in WANTING.get(server, {}) or (case == "per_rpc_creds" and transport != "TLS"):
            outcome = "n/a"
        else:
            extra = ORCA_CLIENT if case in ORCA else []
            if flags:
                extra = extra + flags + programs.tls_extra.get(client, [])
            why = run_case(programs.clients[client], port, case, extra)
            outcome = "ok" if why is None else "FAILED"
            if why is not None:
                self.failures.append(f"{client} -> {server}, {transport}, {case}: {why}")
        self.outcomes[client, server, transport, case] = outcome
        if outcome in ("ok", "FAILED"):
            print(f"{outcome} {client} -> {server}, {transport}, {case}", flush=True)

    def run_http2(self, programs):
        for case in HTTP2:
            with Server([*programs.http2_server, f"--test_case={case}"]) as running:
                self.one(programs, "lariat", "http2-test-server", "plaintext", case, running.port, [])
            if case in GO_HTTP2_LACKING:
                self.outcomes["grpc-go", "http2-test-server", "plaintext", case] = "-"
                continue
            # The server itself has to be right: another's client passes with it.
            with Server([*programs.http2_server, f"--test_case={case}"]) as running:
                why = run_case(programs.go_http2_client, running.port, case, [])
                self.outcomes["grpc-go", "http2-test-server", "plaintext", case] = "ok" if why is None else "FAILED"
                print(f"{'ok' if why is None else 'FAILED'} grpc-go -> http2-test-server, plaintext, {case}", flush=True)
                if why is not None:
                    self.failures.append(f"grpc-go -> http2-test-server, {case}: {why}")

    def count(self, outcome):
        return sum(found == outcome for found in self.outcomes.values())


def table(matrix, columns, cases):
    """A Markdown table with a row for each case."""
    lines = ["| case | " + " | ".join(title for title, _ in columns) + " |", "|---|" + "---|" * len(columns)]
    for case in cases:
        cells = [matrix.outcomes.get((*key, case), "") for _, key in columns]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(matrix, versions, transports):
    text = [
        "# Results of the interoperability tests\n",
        f"Written by `interop/matrix.sh` on {datetime.date.today().isoformat()}: {versions}.",
        f"{matrix.count('ok')} passed, {matrix.count('FAILED')} failed.\n",
        '"-" is a case that the client does not offer, "n/a" one that the server of that row cannot serve; the reasons '
        "are below.\n",
    ]
    for transport in transports:
        text.append(f"## {transport}\n")
        ours = [(f"{client} -> lariat", (client, "lariat", transport)) for client in ("lariat", "grpc-go", "grpcio", "tonic")]
        theirs = [(f"lariat -> {server}", ("lariat", server, transport)) for server in ("grpc-go", "grpcio", "tonic")]
        text.append(table(matrix, ours + theirs, CASES) + "\n")
    text.append("## Negative HTTP/2 cases\n")
    columns = [(client, (client, "http2-test-server", "plaintext")) for client in ("lariat", "grpc-go")]
    text.append(table(matrix, columns, HTTP2) + "\n")
    text.append("## What servers cannot serve\n")
    for server, reasons in WANTING.items():
        text.append("\n".join(f"- {server}, {case}: {reason}" for case, reason in reasons.items()))
    text.append("- per_rpc_creds in plaintext: credentials are for secure transports alone")
    return "\n".join(text) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("programs", "peers", "tonic", "certificates"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--versions", default="")
    parser.add_argument("--clients", default="lariat,grpc-go,grpcio,tonic")
    parser.add_argument("--servers", default="lariat,grpc-go,grpcio,tonic")
    parser.add_argument("--transports", default="plaintext,TLS")
    parser.add_argument("--output", type=pathlib.Path, help="where to write the table")
    options = parser.parse_args()
    programs, matrix = Programs(options), Matrix()
    transports = options.transports.split(",")
    matrix.run(programs, options.clients.split(","), options.servers.split(","), transports)
    matrix.run_http2(programs)
    if options.output:
        options.output.write_text(report(matrix, options.versions, transports))
    for failure in matrix.failures:
        print(f"FAILED {failure}")
    print(f"{matrix.count('ok')} passed, {len(matrix.failures)} failed")
    return 1 if matrix.failures or not matrix.count("ok") else 0


if __name__ == "__main__":
    sys.exit(main())
