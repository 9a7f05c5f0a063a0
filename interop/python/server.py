"""The grpcio server of the interop matrix: Greeter and RouteGuide with the rules that interop/README.md lists.

It runs on asyncio, where a cancelled call cancels its handler.
"""

import argparse
import asyncio
import contextlib
import math
import time

import grpc

from protos import helloworld, helloworld_grpc, route_guide, route_guide_grpc


class Greeter(helloworld_grpc.GreeterServicer):
    """Answers names by the rules of interop/README.md."""

    def __init__(self):
        self.cancelled = set()  # the x-watch keys of calls that were cancelled before their handler ended

    async def SayHello(self, request, context):
        with self.watch(context):
            await echo(context)
            if request.name.startswith("cancelled:"):
                seen = request.name.partition(":")[2] in self.cancelled
                return helloworld.HelloReply(message=str(seen).lower())
            return await greet(request.name, context)

    async def SayHelloStreamReply(self, request, context):
        with self.watch(context):
            await echo(context)
            if request.name.startswith("status:"):
                yield helloworld.HelloReply(message="Hello before the end")
            for _ in range(3):
                yield await greet(request.name, context)

    async def SayHelloBidiStream(self, request_iterator, context):
        with self.watch(context):
            await echo(context)
            async for request in request_iterator:
                yield await greet(request.name, context)
            # grpcio ends the requests of a cancelled call as if they were complete, and cancels the handler after.
            await asyncio.sleep(0.05)

    @contextlib.contextmanager
    def watch(self, context):
        try:
            yield
        # A call that is cancelled while its handler yields a message closes the generator instead.
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.update(v for k, v in context.invocation_metadata() if k == "x-watch")
            raise


async def greet(name, context):
    """Applies the rules that are the same for all three methods."""
    if not name:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "request missing required field: name")
    if name.startswith("status:"):
        _, number, message = name.split(":", 2)
        code = next(code for code in grpc.StatusCode if code.value[0] == int(number))
        await context.abort(code, message)
    if name.startswith("delay:"):
        await asyncio.sleep(int(name.partition(":")[2]) / 1000)
    return helloworld.HelloReply(message=f"Hello {name}")


async def echo(context):
    """Sends the header and sets the trailer that the request's x-echo and x-echo-bin ask for."""
    received = context.invocation_metadata()
    context.set_trailing_metadata([("x-echo-trailer", v) for k, v in received if k == "x-echo"])
    await context.send_initial_metadata([(k, v) for k, v in received if k in ("x-echo", "x-echo-bin")])


def point(latitude, longitude):
    return route_guide.Point(latitude=latitude, longitude=longitude)


# The places that this server knows, in degrees times 10^7.
FEATURES = [
    route_guide.Feature(name="Old Mill", location=point(407838351, -746143763)),
    route_guide.Feature(name="Ferry Landing", location=point(413628156, -749015468)),
    route_guide.Feature(name="Signal Hill", location=point(419999544, -740371136)),
]


class RouteGuide(route_guide_grpc.RouteGuideServicer):
    """The RouteGuide service; each RouteChat call keeps its own notes."""

    async def GetFeature(self, request, context):
        return feature_at(request) or route_guide.Feature(location=request)

    async def ListFeatures(self, request, context):
        for feature in FEATURES:
            if contains(request, feature.location):
                yield feature

    async def RecordRoute(self, request_iterator, context):
        started = time.monotonic()
        points = [point async for point in request_iterator]
        return route_guide.RouteSummary(
            point_count=len(points),
            feature_count=sum(feature_at(point) is not None for point in points),
            distance=int(sum(metres(a, b) for a, b in zip(points, points[1:]))),
            elapsed_time=int(time.monotonic() - started),
        )

    async def RouteChat(self, request_iterator, context):
        notes = {}
        async for note in request_iterator:
            here = notes.setdefault((note.location.latitude, note.location.longitude), [])
            for earlier in here:
                yield earlier
            here.append(note)


def feature_at(location):
    return next((feature for feature in FEATURES if feature.location == location), None)


def contains(area, location):
    def between(value, a, b):
        return min(a, b) <= value <= max(a, b)

    return between(location.latitude, area.lo.latitude, area.hi.latitude) and between(
        location.longitude, area.lo.longitude, area.hi.longitude
    )


def metres(a, b):
    """The great-circle distance between two points (haversine formula)."""
    earth_radius = 6_371_000
    latitude_a, latitude_b = math.radians(a.latitude / 1e7), math.radians(b.latitude / 1e7)
    longitude = math.radians((b.longitude - a.longitude) / 1e7)
    h = (
        math.sin((latitude_b - latitude_a) / 2) ** 2
        + math.cos(latitude_a) * math.cos(latitude_b) * math.sin(longitude / 2) ** 2
    )
    return 2 * earth_radius * math.asin(math.sqrt(h))


async def serve(addr):
    server = grpc.aio.server()
    helloworld_grpc.add_GreeterServicer_to_server(Greeter(), server)
    route_guide_grpc.add_RouteGuideServicer_to_server(RouteGuide(), server)
    host = addr.rpartition(":")[0]
    port = server.add_insecure_port(addr)
    await server.start()
    print(f"listening on {host}:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--addr", default="127.0.0.1:0", help="address to listen on")
    asyncio.run(serve(arguments.parse_args().addr))
