"""Provides a local web server that can break connections, lie or refuse requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """The files of a local server, and the way in which the server answers.

    Args:
        files: The content of each path.
        breaks: How many of the next answers end halfway.
        ranges: Whether the server honours ranges, so that downloads can continue.
        lengths: Whether answers state their length.
        version: The ETag of all files; if empty, answers have no ETag.
        status: The status of every answer, or 0 for the usual answers.
        target: The address to which ``/moved`` redirects.
        asked: The ``Range`` header of each request so far; None for a request without this header.
        address: The address of the server, which ``serving`` sets.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    breaks: int = 0
    ranges: bool = True
    lengths: bool = True
    version: str = '"1"'
    status: int = 0
    target: str = ""
    asked: list[str | None] = field(default_factory=list)
    address: str = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers a GET request."""
        asked = request.headers.get("Range")
        self.asked.append(asked)
        content = self.files.get(request.path)
        if request.path == "/moved":
            request.send_response(302)
            request.send_header("Location", self.target)
            request.end_headers()
            return
        if self.status or content is None:
            request.send_error(self.status or 404)
            return
        start = 0
        if asked and self.ranges and request.headers.get("If-Range") == self.version:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(content) > 0:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.version:
            request.send_header("ETag", self.version)
        if self.lengths:
            request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        body = content[start:]
        if self.breaks:
            self.breaks -= 1
            body = body[: len(body) // 2]
        request.wfile.write(body)
        request.close_connection = True


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """Serves a site on a free port while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
