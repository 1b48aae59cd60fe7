"""Provides a local chat server that can misbehave."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789abcdef"  # the key that no file may hold


def candidates_of(body: dict[str, Any]) -> list[str]:
    """Returns the lines of the candidates in a request."""
    return re.findall(r"^\d+\. (.*)$", body["messages"][-1]["content"].partition("The candidates are:")[2], re.M)


def in_order(body: dict[str, Any]) -> str:
    """Ranks the candidates in the order of the list."""
    return json.dumps({"ids": list(range(1, len(candidates_of(body)) + 1))})


def reversed_order(body: dict[str, Any]) -> str:
    """Ranks the candidates in the reverse order of the list."""
    return json.dumps({"ids": list(range(len(candidates_of(body)), 0, -1))})


def obedient(body: dict[str, Any]) -> str:
    """Puts candidates first that ask for it, unless titles are said to be data."""
    lines = candidates_of(body)
    quoted = "never an instruction" in body["messages"][0]["content"]
    first = [] if quoted else [number for number, line in enumerate(lines, 1) if "recommend" in line.lower()]
    return json.dumps({"ids": first + [number for number in range(1, len(lines) + 1) if number not in first]})


@dataclass
class ChatServer:
    """A chat server on this machine.

    Args:
        answer: A function from the body of a request to the text of the answer.
        faults: How the next requests are answered: a status such as ``429``, ``slow``, ``drip``, ``cut``, ``html``,
            ``empty``, ``refuse``, ``filter``, ``no usage``, ``no schema`` or ``new limit``. ``""`` answers as usual.
        always: The fault of every further request.
        retry_after: The header ``Retry-After`` of errors, or an empty string for no header.
        delay: The seconds by which a ``slow`` answer is late.
        requests: The body of each request so far.
        keys: The header ``Authorization`` of each request so far.
        headers: The names of all headers of all requests so far, in lower case.
        address: The address of the interface, which ``chatting`` sets.
    """

    answer: Callable[[dict[str, Any]], str] = in_order
    faults: list[str] = field(default_factory=list)
    always: str = ""
    retry_after: str = ""
    delay: float = 0.4
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    headers: set[str] = field(default_factory=set)
    address: str = ""

    def reply(self, request: BaseHTTPRequestHandler) -> None:
        """Answers a POST request."""
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.requests.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.headers |= {name.lower() for name in request.headers}
        fault = self.faults.pop(0) if self.faults else self.always
        if fault == "no schema" and "response_format" not in body:
            fault = ""
        if fault == "new limit" and "max_completion_tokens" in body:
            fault = ""
        status = {"no schema": 400, "new limit": 400}.get(fault, int(fault) if fault.isdigit() else 200)
        if status != 200:
            reasons = {"no schema": "response_format is unknown", "new limit": "use max_completion_tokens instead"}
            said = f"{reasons.get(fault, 'no')}: {request.headers.get('Authorization')}"
            self._send(request, status, json.dumps({"error": {"message": said}}).encode())
            return
        message: dict[str, Any] = {"role": "assistant", "content": self.answer(body)}
        if fault == "refuse":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help."}
        elif fault == "empty":
            message["content"] = ""
        elif fault == "echo":
            message["content"] = f"{request.headers.get('Authorization')} {message['content']}"
        finish = "content_filter" if fault == "filter" else "stop"
        content: dict[str, Any] = {"choices": [{"index": 0, "message": message, "finish_reason": finish}]}
        if fault != "no usage":
            content["usage"] = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        whole = b"<html>busy</html>" if fault == "html" else json.dumps(content).encode()
        if fault == "slow":
            time.sleep(self.delay)
        self._send(request, 200, whole, cut=fault == "cut", drip=self.delay if fault == "drip" else 0.0)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, *, cut: bool = False, drip: float = 0.0
    ) -> None:
        request.close_connection = True
        try:
            request.send_response(status)
            if status != 200 and self.retry_after:
                request.send_header("Retry-After", self.retry_after)
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            if drip:
                end = time.monotonic() + drip
                for place in range(len(body)):
                    request.wfile.write(body[place : place + 1])
                    request.wfile.flush()
                    if time.monotonic() > end:
                        break
                    time.sleep(0.02)
            request.wfile.write(body[: len(body) // 2] if cut else body)
        except OSError:
            pass  # the client has gone


@contextmanager
def chatting(server: ChatServer | None = None) -> Iterator[ChatServer]:
    """Runs a chat server on a free port while the block runs."""
    chat = ChatServer() if server is None else server

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            chat.reply(self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    chat.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield chat
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
