"""As much of an HTTP/2 client as it takes to hold connections and streams open."""

import socket
import struct

from .load import framed
from .server import Failed

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1

TEXT = b"x" * 10  # the name of a call and the payload of a chunk


class Connection:
    """A connection after its handshake."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.next_stream = 1
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))

    def open(self, method, text, end):
        """Octets of a call's start with its first message, and perhaps its end."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        headers = frame(HEADERS, END_HEADERS, stream, header_block(f"/helloworld.Greeter/{method}"))
        return headers + frame(DATA, END_STREAM if end else 0, stream, framed(text))

    def call(self):
        """Makes a unary call and reads its answer."""
        self.socket.sendall(self.open("SayHello", TEXT, True))
        self.read_data(framed(b"Hello " + TEXT), ends=1)

    def read_data(self, expected, ends=0):
        """Reads until DATA of these octets, and so many ends of streams, have come. Answers what must be answered."""
        data = b""
        while len(data) < len(expected) or ends > 0:
            kind, flags, payload = self.read_frame()
            if kind == DATA:
                data += payload
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind in (RST_STREAM, GOAWAY):
                raise Failed("refused")
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                ends -= 1
        if data != expected:
            raise Failed(f"unexpected answer {data[:40]}")

    def read_frame(self):
        head = self.read(9)
        return head[3], head[4], self.read(int.from_bytes(head[:3], "big"))

    def read(self, count):
        while len(self.buffer) < count:
            octets = self.socket.recv(65536)
            if not octets:
                raise Failed("closed by the server")
            self.buffer += octets
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def close(self):
        self.socket.close()


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(path):
    """A gRPC request's fields, none of which enters the dynamic table."""
    text = lambda value: bytes([len(value)]) + value.encode()
    authority, content_type = b"\x01" + text("localhost"), b"\x0f\x10" + text("application/grpc")
    post_http = b"\x83\x86"
    return post_http + b"\x04" + text(path) + authority + content_type + b"\0" + text("te") + text("trailers")
