"""The server of the gRPC interoperability tests on grpcio.

interop_server.py --port=N [--use_tls=true --tls_cert_file=F --tls_key_file=F]
"""

import pathlib
import time
from concurrent import futures

import grpc

from testing import INITIAL, TRAILING, empty, flags, messages, services


def payload(size):
    if size < 0:
        raise ValueError("a negative size")
    return messages.Payload(body=bytes(size))


def echo(context):
    """Sends back what the client wants to see again; -bin values come as octets here."""
    for key, value in context.invocation_metadata():
        if key == INITIAL:
            context.send_initial_metadata(((key, value),))
        elif key == TRAILING:
            context.set_trailing_metadata(((key, value),))


def end_as_asked(request, context):
    status = request.response_status
    if status.code:
        code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
        context.abort(code, status.message)


def was_compressed(context):
    """grpcio does not tell whether a message was compressed; what can be seen is what the call announces."""
    return dict(context.invocation_metadata()).get("grpc-encoding", "identity") != "identity"


class TestService(services.TestServiceServicer):
    def EmptyCall(self, request, context):
        return empty.Empty()

    def UnaryCall(self, request, context):
        echo(context)
        end_as_asked(request, context)
        if request.HasField("response_compressed"):
            algorithm = grpc.Compression.Gzip if request.response_compressed.value else grpc.Compression.NoCompression
            context.set_compression(algorithm)
        return messages.SimpleResponse(payload=payload(request.response_size))

    def StreamingOutputCall(self, request, context):
        if any(parameters.compressed.value for parameters in request.response_parameters):
            context.set_compression(grpc.Compression.Gzip)
        yield from self.responses(request, context)
        end_as_asked(request, context)

    def StreamingInputCall(self, requests, context):
        return messages.StreamingInputCallResponse(
            aggregated_payload_size=sum(len(request.payload.body) for request in requests)
        )

    def FullDuplexCall(self, requests, context):
        echo(context)
        for request in requests:
            end_as_asked(request, context)
            yield from self.responses(request, context)

    def HalfDuplexCall(self, requests, context):
        for request in list(requests):
            yield from self.responses(request, context)

    @staticmethod
    def responses(request, context):
        for parameters in request.response_parameters:
            time.sleep(max(parameters.interval_us, 0) / 1e6)
            if parameters.HasField("compressed") and not parameters.compressed.value:
                context.disable_next_message_compression()
            yield messages.StreamingOutputCallResponse(payload=payload(parameters.size))


def main():
    options = flags(__doc__, port=10000, use_tls=False, tls_cert_file="", tls_key_file="")
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=64))
    services.add_TestServiceServicer_to_server(TestService(), server)
    address = f"127.0.0.1:{options.port}"
    if options.use_tls:
        key, chain = (pathlib.Path(file).read_bytes() for file in (options.tls_key_file, options.tls_cert_file))
        port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
    else:
        port = server.add_insecure_port(address)
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
