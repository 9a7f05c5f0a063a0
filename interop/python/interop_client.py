"""The client of the gRPC interoperability tests on grpcio.

interop_client.py --server_port=N --test_case=NAME[,NAME...]; prints `ok NAME` for each that passes.
"""

import concurrent.futures
import pathlib
import sys
import time

import grpc

from testing import INITIAL, TRAILING, empty, flags, messages, services

CALL_TIME = 30
LARGE_REQUEST, LARGE_RESPONSE = 271828, 314159
REQUESTS, RESPONSES = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)


def expect(what, found, expected):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def expect_status(code, call, message=None):
    try:
        call()
    except grpc.RpcError as error:
        expect("status", error.code(), code)
        if message is not None:
            expect("status message", error.details(), message)
    else:
        raise AssertionError(f"expected {code}, found OK")


def payload(size):
    return messages.Payload(body=bytes(size))


def large_request(**fields):
    return messages.SimpleRequest(response_size=LARGE_RESPONSE, payload=payload(LARGE_REQUEST), **fields)


def ask(request, response):
    parameters = [messages.ResponseParameters(size=response)]
    return messages.StreamingOutputCallRequest(response_parameters=parameters, payload=payload(request))


class Test:
    def __init__(self, options):
        self.options = options
        self.channel = self.connect()
        self.stub = services.TestServiceStub(self.channel)

    def connect(self):
        options = self.options
        target = f"{options.server_host}:{options.server_port}"
        arguments = [("grpc.default_authority", options.server_host_override)] if options.server_host_override else []
        if not options.use_tls:
            return grpc.insecure_channel(target, options=arguments)
        if options.server_host_override:
            arguments.append(("grpc.ssl_target_name_override", options.server_host_override))
        roots = pathlib.Path(options.ca_file).read_bytes()
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options=arguments)

    def unary(self, request=None, **call):
        return self.stub.UnaryCall(request or large_request(), timeout=CALL_TIME, **call)

    def large(self, stub=None):
        response = (stub or self.stub).UnaryCall(large_request(), timeout=CALL_TIME)
        expect("payload", response.payload.body, bytes(LARGE_RESPONSE))

    def empty_unary(self):
        expect("response", self.stub.EmptyCall(empty.Empty(), timeout=CALL_TIME), empty.Empty())

    def large_unary(self):
        self.large()

    def concurrent_large_unary(self):
        with concurrent.futures.ThreadPoolExecutor(max_workers=50) as pool:
            for result in [pool.submit(self.large) for _ in range(200)]:
                result.result()

    def client_streaming(self):
        requests = (messages.StreamingInputCallRequest(payload=payload(size)) for size in REQUESTS)
        response = self.stub.StreamingInputCall(requests, timeout=CALL_TIME)
        expect("sizes together", response.aggregated_payload_size, sum(REQUESTS))

    def server_streaming(self):
        parameters = [messages.ResponseParameters(size=size) for size in RESPONSES]
        request = messages.StreamingOutputCallRequest(response_parameters=parameters)
        sizes = [len(response.payload.body) for response in self.stub.StreamingOutputCall(request, timeout=CALL_TIME)]
        expect("sizes", sizes, list(RESPONSES))

    def ping_pong(self):
        requests = Requests()
        responses = self.stub.FullDuplexCall(requests, timeout=CALL_TIME)
        for request, response in zip(REQUESTS, RESPONSES):
            requests.put(ask(request, response))
            expect("size", len(next(responses).payload.body), response)
        requests.end()
        expect("further responses", list(responses), [])

    def empty_stream(self):
        expect("responses", list(self.stub.FullDuplexCall(iter(()), timeout=CALL_TIME)), [])

    def custom_metadata(self):
        sent = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))

        def check(call):
            expect("header", dict(call.initial_metadata())[INITIAL], sent[0][1])
            expect("trailer", dict(call.trailing_metadata())[TRAILING], sent[1][1])

        _, call = self.stub.UnaryCall.with_call(large_request(), timeout=CALL_TIME, metadata=sent)
        check(call)
        call = self.stub.FullDuplexCall(iter([ask(1, 1)]), timeout=CALL_TIME, metadata=sent)
        expect("number of responses", len(list(call)), 1)
        check(call)

    def status_code_and_message(self):
        status = messages.EchoStatus(code=2, message="test status message")
        call = lambda: self.unary(messages.SimpleRequest(response_status=status))
        expect_status(grpc.StatusCode.UNKNOWN, call, status.message)
        request = messages.StreamingOutputCallRequest(response_status=status)
        call = lambda: list(self.stub.FullDuplexCall(iter([request]), timeout=CALL_TIME))
        expect_status(grpc.StatusCode.UNKNOWN, call, status.message)

    def special_status_message(self):
        message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
        status = messages.EchoStatus(code=2, message=message)
        call = lambda: self.unary(messages.SimpleRequest(response_status=status))
        expect_status(grpc.StatusCode.UNKNOWN, call, message)

    def unimplemented_method(self):
        call = lambda: self.stub.UnimplementedCall(empty.Empty(), timeout=CALL_TIME)
        expect_status(grpc.StatusCode.UNIMPLEMENTED, call)

    def unimplemented_service(self):
        stub = services.UnimplementedServiceStub(self.channel)
        call = lambda: stub.UnimplementedCall(empty.Empty(), timeout=CALL_TIME)
        expect_status(grpc.StatusCode.UNIMPLEMENTED, call)

    def cancel_after_begin(self):
        requests = Requests()
        call = self.stub.StreamingInputCall.future(requests, timeout=CALL_TIME)
        call.cancel()
        requests.end()
        expect("cancelled", call.cancelled(), True)

    def cancel_after_first_response(self):
        requests = Requests()
        call = self.stub.FullDuplexCall(requests, timeout=CALL_TIME)
        requests.put(ask(REQUESTS[0], RESPONSES[0]))
        expect("size", len(next(call).payload.body), RESPONSES[0])
        call.cancel()
        requests.end()
        expect_status(grpc.StatusCode.CANCELLED, lambda: next(call))

    def timeout_on_sleeping_server(self):
        requests = Requests()
        call = self.stub.FullDuplexCall(requests, timeout=0.001)
        requests.put(messages.StreamingOutputCallRequest(payload=payload(27182)))
        expect_status(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(call))
        requests.end()

    def client_compressed_unary(self):
        # grpcio offers no way to send the probe, a message that only says to be compressed.
        wants = lambda value: large_request(expect_compressed=messages.BoolValue(value=value))
        compressed = self.unary(wants(True), compression=grpc.Compression.Gzip)
        expect("size", len(compressed.payload.body), LARGE_RESPONSE)
        plain = self.unary(wants(False), compression=grpc.Compression.NoCompression)
        expect("size", len(plain.payload.body), LARGE_RESPONSE)

    def server_compressed_unary(self):
        for value in (True, False):
            response = self.unary(large_request(response_compressed=messages.BoolValue(value=value)))
            expect("size", len(response.payload.body), LARGE_RESPONSE)

    def server_compressed_streaming(self):
        parameters = [
            messages.ResponseParameters(size=31415, compressed=messages.BoolValue(value=True)),
            messages.ResponseParameters(size=92653, compressed=messages.BoolValue(value=False)),
        ]
        request = messages.StreamingOutputCallRequest(response_parameters=parameters)
        responses = self.stub.StreamingOutputCall(request, timeout=CALL_TIME)
        expect("sizes", [len(response.payload.body) for response in responses], [31415, 92653])

    def rpc_soak(self):
        for _ in range(self.options.soak_iterations):
            self.large()

    def channel_soak(self):
        for _ in range(self.options.soak_iterations):
            with self.connect() as channel:
                self.large(services.TestServiceStub(channel))


class Requests:
    """Requests of a stream, one by one as they are put."""

    def __init__(self):
        self.waiting, self.ended = [], False

    def put(self, request):
        self.waiting.append(request)

    def end(self):
        self.ended = True

    def __iter__(self):
        return self

    def __next__(self):
        while not self.waiting:
            if self.ended:
                raise StopIteration
            time.sleep(0.001)
        return self.waiting.pop(0)


def main():
    options = flags(
        __doc__,
        server_host="localhost",
        server_port=10000,
        server_host_override="",
        test_case="large_unary",
        use_tls=False,
        ca_file="",
        soak_iterations=10,
    )
    test = Test(options)
    for name in options.test_case.split(","):
        try:
            getattr(test, name)()
        except Exception as error:
            print(f"FAILED {name}: {error}", file=sys.stderr)
            return 1
        print(f"ok {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
