"""Serve a WSGI application from threads, and keep connections open as a real server does."""

import io
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn
from wsgiref import simple_server


class ResponseWriter(simple_server.ServerHandler):
    http_version = "1.1"

    def cleanup_headers(self):
        super().cleanup_headers()
        if "Content-Length" not in self.headers:
            self.headers["Connection"] = "close"  # only the end of the connection shows where the body ends
            self.request_handler.close_connection = True


class RequestHandler(simple_server.WSGIRequestHandler):
    """Answer all requests of a connection, and log nothing."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # send a response in one packet
    handle = BaseHTTPRequestHandler.handle

    def respond(self):
        body = io.BytesIO(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        writer = ResponseWriter(body, self.wfile, self.get_stderr(), self.get_environ())
        writer.request_handler = self
        writer.run(self.server.get_app())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = respond

    def log_message(self, *_):
        pass


class AppServer(ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, app):
        super().__init__(("127.0.0.1", port), RequestHandler)
        self.set_app(app)
        self.connections = set()

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self):
        super().server_close()
        for connection in list(self.connections):
            with suppress(OSError):  # the browser has closed it meanwhile
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving_app(app, port=0):
    """Serve the application on a port of 127.0.0.1 within a block. Yield its URL, without a slash at the end."""
    server = AppServer(port, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
