"""Messages and stubs of grpc.testing.TestService, and the flags that the test programs share."""

import argparse
import pathlib
import sys

import grpc

# grpcio looks for .proto files where Python looks for modules.
sys.path.append(str(pathlib.Path(__file__).parents[1] / "proto"))
empty, _ = grpc.protos_and_services("empty.proto")
messages, _ = grpc.protos_and_services("messages.proto")
_, services = grpc.protos_and_services("test.proto")

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"


def flags(description, **defaults):
    """Reads `--name=value` for each of the defaults; booleans are `true` or `false`."""
    parser = argparse.ArgumentParser(description=description)
    for name, default in defaults.items():
        kind = (lambda text: text == "true") if isinstance(default, bool) else type(default)
        parser.add_argument(f"--{name}", type=kind, default=default)
    return parser.parse_args()
