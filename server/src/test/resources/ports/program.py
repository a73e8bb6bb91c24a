"""A program behind a port: shows what reached it, echoes, streams, holds still, misbehaves.

Run as `program.py ADDRESS PORT`; it has begun to listen when its first process ends.
"""

import base64
import hashlib
import http.server
import os
import select
import socket
import sys

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

# The requests of each connection that asked for /refuse and is over.
refused = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self):
        self.requests = []
        super().handle()
        if any(" /refuse " in request for request in self.requests):
            refused.append(self.requests)

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.requests.append(self.requestline)
        if path == "/refuse":
            # Gives what may follow the time to come, answers, and reads on.
            select.select([self.connection], [], [], 0.5)
            self.answer(b"refused", code=404)
        elif path == "/refused":
            self.answer("\n".join("; ".join(requests) for requests in refused).encode())
        elif self.headers.get("upgrade") == "websocket":
            self.echo_frames()
        elif path == "/bytes":
            self.answer(b"x" * int(self.path.partition("?")[2]))
        elif path == "/begin":
            # Says that there is more, and never sends it.
            self.send_response(200)
            self.send_header("content-length", "1000000")
            self.end_headers()
            self.wfile.write(b"begun")
            self.wfile.flush()
            self.rfile.read()
        elif path == "/silent":
            self.rfile.read()
        elif path == "/junk":
            self.wfile.write(b"SSH-2.0-junk\r\n")
            self.close_connection = True
        elif path == "/headers":
            self.answer(
                b"",
                ("set-cookie", "own=1; Domain=sandboxes.localhost; Path=/"),
                ("set-cookie", "sandkeeper-port=forged"),
                ("clear-site-data", '"*"'),
                ("connection", "x-internal"),
                ("x-internal", "1"),
                ("x-own", "1"),
                ("content-security-policy", "default-src 'self'"),
            )
        elif path == "/redirect":
            self.answer(b"", ("location", "/login"), code=302)
        else:
            self.show()

    do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET

    def do_POST(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
        digest = hashlib.sha256(body).hexdigest()
        self.answer(("%d %s %s" % (len(body), digest, self.headers["transfer-encoding"])).encode())

    def show(self):
        lines = [self.requestline] + ["%s: %s" % header for header in self.headers.items()]
        self.answer("\n".join(lines).encode("latin-1"))

    def answer(self, body, *headers, code=200):
        self.send_response(code)
        self.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo_frames(self):
        """Echoes the frames of a WebSocket, after one with the request line, until it is closed."""
        key = self.headers["sec-websocket-key"] + MAGIC
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_header("sec-websocket-accept", accept)
        self.end_headers()
        self.close_connection = True
        self.send_frame(0x81, self.requestline.encode())
        while head := self.rfile.read(2):
            size = head[1] & 0x7F
            if size == 126:
                size = int.from_bytes(self.rfile.read(2), "big")
            elif size == 127:
                size = int.from_bytes(self.rfile.read(8), "big")
            mask = self.rfile.read(4)
            masked = self.rfile.read(size)
            self.send_frame(head[0], bytes(b ^ mask[i % 4] for i, b in enumerate(masked)))
            if head[0] & 0x0F == 8:
                return

    def send_frame(self, kind, payload):
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        self.wfile.write(bytes([kind]) + length + payload)
        self.wfile.flush()

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    request_queue_size = 128


server = Server((sys.argv[1], int(sys.argv[2])), Handler)
if os.fork():
    os._exit(0)
os.setsid()
nowhere = os.open("/dev/null", os.O_RDWR)
for fd in range(3):
    os.dup2(nowhere, fd)
server.serve_forever()
