"""Downloads files over HTTP and resumes interrupted downloads."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from robench.api.errors import UserError
from robench.files.sizes import format_size

Report = Callable[[int, int | None], None]
BLOCK = 1 << 18
TIMEOUT = 30.0  # the longest time without any data, in seconds
ATTEMPTS = 4
PAUSE = 1.0  # the seconds before the second attempt; each further pause is twice as long
MOST_BYTES = 1 << 36
BROKEN = (TimeoutError, ConnectionError, http.client.HTTPException)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A handler that follows redirects to http or https, but none from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Returns the request for the address of a redirect.

        Raises:
            UserError: if the redirect must not be followed.
        """
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in ("http", "https") or (before == "https" and after != "https"):
            raise UserError(f"redirects to {newurl[:200]}, which is not followed", where=req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, path: Path, report: Report) -> None:
    """Downloads a file.

    An unfinished download stays in a file with the suffix ``.part``. A later call resumes the download if the server
    shows that the file has not changed.

    Args:
        url: the address, with http or https.
        path: the path of the file to write.
        report: a function that receives the number of bytes so far and the total number, or None if the total is
            unknown.

    Raises:
        UserError: if the address is not valid, if no connection is possible, if the server refuses the request, if a
            redirect is not allowed, if the file is larger than 64 GiB, or if all four attempts fail.
        OSError: if the file cannot be written.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UserError("not an address with http or https", where=url)
    pause = PAUSE
    for attempt in range(ATTEMPTS):
        part = _Part(path)
        try:
            if _continue(url, part, report):
                part.finish()
                return
            problem = "the connection broke"
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and part.size():
                    if error.headers.get("Content-Range") == f"bytes */{part.size()}":
                        part.finish()  # the last process was killed before it renamed the complete file
                        return
                    part.discard()
                    continue
                problem = f"HTTP {error.code} {error.reason}"
            if error.code < http.client.INTERNAL_SERVER_ERROR:
                raise UserError(problem, where=url) from None
        except urllib.error.URLError as error:
            reason = error.reason
            problem = str(getattr(reason, "strerror", None) or reason)
            if not isinstance(reason, BROKEN) or isinstance(reason, ConnectionRefusedError):
                raise UserError(f"no connection: {problem}", where=url) from None
        except BROKEN as error:
            problem = "no answer in time" if isinstance(error, TimeoutError) else "the connection broke"
        if attempt + 1 < ATTEMPTS:
            time.sleep(pause)
            pause *= 2
    size = part.size()
    hint = f"{format_size(size)} are kept, and the same command continues there" if size else ""
    raise UserError(f"{problem}, {ATTEMPTS} times", where=url, hint=hint)


class _Part:
    """The unfinished file of a download, and the version that the server stated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.with_name(f"{path.name}.part")
        self.facts = path.with_name(f"{path.name}.part.json")

    def size(self) -> int:
        """Returns the number of bytes that have been downloaded."""
        return self.file.stat().st_size if self.file.exists() else 0

    def version(self, url: str) -> str:
        """Returns the version that the file on the server had when the download began.

        The result is empty if the version is unknown, or if the bytes come from a different address.
        """
        with suppress(OSError, ValueError, TypeError, AttributeError):
            facts = json.loads(self.facts.read_text(encoding="utf-8"))
            return str(facts["version"]) if facts["url"] == url else ""
        return ""

    def start(self, url: str, version: str) -> None:
        """Removes the unfinished file and stores the version of a new download."""
        self.discard()
        self.facts.write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")

    def discard(self) -> None:
        """Removes the unfinished file."""
        self.file.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)

    def finish(self) -> None:
        """Renames the file, which is now complete, to the final name."""
        self.file.replace(self.path)
        self.facts.unlink(missing_ok=True)


def _continue(url: str, part: _Part, report: Report) -> bool:
    """Downloads the rest of a file and returns whether the file is complete.

    If the server sends the whole file, the download starts again. If the server sends a wrong part, the unfinished file
    is removed, and the result is False.

    Raises:
        UserError: if the file is larger than 64 GiB, or if a redirect must not be followed.
        OSError: if the connection fails, if the server refuses the request, or if the file cannot be written.
        HTTPException: if the answer of the server is broken.
    """
    version, done = part.version(url), part.size()
    request = urllib.request.Request(url, headers={"User-Agent": "robench", "Accept-Encoding": "identity"})
    if version and done:
        request.add_header("Range", f"bytes={done}-")
        request.add_header("If-Range", version)
    opener = urllib.request.build_opener(_Redirects)
    with opener.open(request, timeout=TIMEOUT) as answer:
        if answer.status != http.client.PARTIAL_CONTENT or not _starts_at(answer.headers, done):
            if answer.status == http.client.PARTIAL_CONTENT:
                part.discard()  # the server sent another range than the missing one
                return False
            part.start(url, _version_of(answer.headers))
            done = 0
        length = answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isascii() and length.isdigit() else None
        if total is not None and total > MOST_BYTES:
            raise UserError(f"{format_size(total)} are too much", where=url)
        with part.file.open("ab") as file:
            report(done, total)
            while block := answer.read(BLOCK):
                file.write(block)
                done += len(block)
                report(done, total)
                if done > MOST_BYTES:
                    raise UserError(f"more than {format_size(MOST_BYTES)}", where=url)
    return total is None or done == total


def _starts_at(headers: Any, start: int) -> bool:
    return str(headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _version_of(headers: Any) -> str:
    """Returns the version of a file on the server, or an empty string.

    The version is the strong ETag, or else the time of the last change. The string is empty if the server states
    neither.
    """
    tag = str(headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified", ""))
