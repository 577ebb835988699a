"""Servers for storage tests: an S3 server that checks signatures, and a scripted server for invalid responses."""

from __future__ import annotations

import copy
import http.client
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analytics_api.storage.s3 import Bucket
from analytics_api.storage.sigv4 import Signer

KEY_ID = "AKTESTACCESSKEY"
SECRET = "a-secret/that+must=not.leak"


class S3:
    """rclone, serving the folders of `root` as buckets at `url`."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self.url = url

    def bucket(self, name: str, **options: Any) -> Bucket:
        return Bucket(f"{self.url}/{name}", **{"access_key_id": KEY_ID, "secret_access_key": SECRET} | options)

    def fill(self, name: str, keys: Iterable[str] = ()) -> None:
        """Create a bucket of empty objects. Call it before the first listing: rclone caches listings."""
        self.put(name)
        for key in keys:
            path = self.root / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def put(self, name: str) -> None:
        """Create a bucket or an empty object over HTTP, for names that rclone would not read correctly from a file."""
        host = self.url.removeprefix("http://")
        path = quote(f"/{name}")
        connection = http.client.HTTPConnection(host)
        headers = Signer(KEY_ID, SECRET, "auto").headers("PUT", host, path, "", time.time())
        connection.request("PUT", path, headers=headers)
        status = connection.getresponse().status
        connection.close()
        assert status == 200, (status, name)


class Request(BaseHTTPRequestHandler):
    """A request to a `Server`, with the methods that answer it."""

    protocol_version = "HTTP/1.1"
    server: Server
    number: int
    body: bytes

    def answer(self, body: bytes | str, status: int = 200, **headers: str) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def hang(self) -> None:
        """Send nothing until the test ends."""
        self.server.over.wait()
        self.close_connection = True

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.number = len(self.server.requests) + 1
            self.server.requests.append(copy.copy(self))  # keep-alive reuses this object
        self.server.script(self)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """A server that calls `script` with each request and its number, which begins at 1."""

    def __init__(self, script: Callable[[Request], None]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the client disconnected


Scripted = Callable[[Callable[[Request], None]], Server]
