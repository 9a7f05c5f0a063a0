"""Messages and stubs of the examples' .proto files, compiled when this module is imported."""

import pathlib
import sys

import grpc

# grpcio looks for .proto files where Python looks for modules.
sys.path.append(str(pathlib.Path(__file__).parents[2] / "examples" / "proto"))
helloworld, helloworld_grpc = grpc.protos_and_services("helloworld.proto")
route_guide, route_guide_grpc = grpc.protos_and_services("route_guide.proto")
