"""Sends requests to an OpenAI-compatible server and repeats failed ones."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from robench.api.errors import ServiceError
from robench.api.escapes import in_one_line
from robench_plugins.models.chat.caps import Caps, most_read
from robench_plugins.models.chat.messages import Question

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"  # the variables of the environment, as the openai client names them
ISSUER = "https://api.openai.com/v1"  # the address that gets the key if no other address is given
MOST_BODY = 1 << 20  # the largest size of an answer in bytes
MOST_REASON = 200  # the largest number of characters of a server's own words in a message
LONGEST_WAIT = 60.0  # the longest time between two attempts, in seconds
FIRST_WAIT = 1.0
TRANSIENT = frozenset({408, 409, 425, 429})  # the client errors that may pass, as all errors from 500 may
HEADERS = frozenset({"host", "content-length", "content-type", "accept", "connection", "user-agent"})
OWN = "x-stainless-"  # the headers by which the client of openai recognises its own requests
Structure = Literal["auto", "schema", "plain"]


class Clock(NamedTuple):
    """The functions by which a service measures time and waits."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    today: Callable[[], float] = time.time


@dataclass(frozen=True)
class Reply:
    """The answer of a language model.

    Args:
        text: the text of the answer.
        refused: whether the model or its provider refused to answer.
        read: the number of tokens of the prompt.
        written: the number of tokens of the answer.
    """

    text: str
    refused: bool
    read: int
    written: int


class _FaultError(Exception):
    """A failed attempt that may be repeated.

    Args:
        problem: a description of the failure.
        wait: the seconds to wait, as the server asks, or None.
        unbilled: whether it is certain that the server did not answer the request.
    """

    def __init__(self, problem: str, wait: float | None = None, *, unbilled: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.wait, self.unbilled = problem, wait, unbilled


def key_for(base_url: str) -> str:
    """Returns the key for a server, or an empty string.

    The key in ``OPENAI_API_KEY`` is sent only to the server that ``OPENAI_BASE_URL`` names, or to OpenAI if this
    variable is not set. So a suite cannot send the key to another server.
    """
    owner = os.environ.get(ADDRESS) or ISSUER
    same = [(part.scheme, part.hostname, part.port) for part in map(urlsplit, (owner, base_url))]
    return os.environ.get(KEY, "").strip() if same[0] == same[1] else ""


class Service:
    """A language model on a server with the interface of OpenAI.

    Args:
        base_url: the address of the interface.
        model: the name of the model.
        seed: the seed that the server gets.
        answer_tokens: the maximum number of tokens of an answer.
        structure: how the structure of an answer is requested.
        timeout: the time limit for an attempt, in seconds.
        attempts: the maximum number of attempts per question.
        caps: the limits on requests, tokens and cost.
        clock: the functions for time.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        seed: int,
        answer_tokens: int,
        structure: Structure,
        timeout: float,
        attempts: int,
        caps: Caps,
        clock: Clock = Clock(),  # noqa: B008  # immutable
    ) -> None:
        self.base_url, self.model, self.seed = base_url, model, seed
        self.answer_tokens, self.timeout, self.attempts = answer_tokens, timeout, attempts
        self.caps, self.clock = caps, clock
        self._key = key_for(base_url)
        self._fixed = structure != "auto"
        self._schema = structure != "plain"
        self._limit_name = "max_tokens"

    @cached_property
    def _client(self) -> Any:
        """The client of the server.

        It sends neither a key nor headers from the environment of its own accord.
        """
        import httpx2  # noqa: PLC0415  # belongs to the extra chat
        import openai  # noqa: PLC0415  # as above

        def clean(request: Any) -> None:
            for name in [name.lower() for name in request.headers]:
                if name not in HEADERS and not name.startswith(OWN):
                    del request.headers[name]
            request.headers["Accept-Encoding"] = "identity"
            if self._key:
                request.headers["Authorization"] = f"Bearer {self._key}"

        http = httpx2.Client(follow_redirects=False, event_hooks={"request": [clean]}, timeout=self.timeout)
        return openai.OpenAI(api_key="none", base_url=self.base_url, max_retries=0, http_client=http)

    def ask(self, question: Question) -> Reply:
        """Returns the answer to a question.

        Raises:
            ServiceError: if the server refuses the request, if all attempts fail, or if a limit is reached.
        """
        problem = ""
        for attempt in range(self.attempts):
            try:
                return self._attempt(question)
            except _FaultError as fault:
                problem = fault.problem
                wait = FIRST_WAIT * 2**attempt if fault.wait is None else fault.wait
            if attempt + 1 < self.attempts:
                self.clock.sleep(min(wait, LONGEST_WAIT))
        times = "" if self.attempts == 1 else f", {self.attempts} times"
        raise self._error(f"{problem}{times}", "answers so far are kept; run again to continue")

    def _attempt(self, question: Question) -> Reply:
        """Sends a request and adapts it to the server's dialect if necessary."""
        while True:
            most = most_read(question.messages)
            reserved = self.caps.reserve(most, self.answer_tokens)
            try:
                body = self._send(question)
            except _FaultError as fault:
                if fault.unbilled:
                    self.caps.settle(reserved, 0, 0)
                raise
            if isinstance(body, _Rejected):
                self.caps.settle(reserved, 0, 0)
                if not self._adapt(body.reason):
                    raise self._error(f"HTTP {body.status}: {body.reason}", "")
                continue
            reply = self._read(body, most)
            self.caps.settle(reserved, reply.read, reply.written)
            return reply

    def _adapt(self, reason: str) -> bool:
        """Chooses another form of the request after a server has rejected it.

        Returns:
            Whether there is another form.
        """
        if self._limit_name == "max_tokens" and "max_completion_tokens" in reason:
            self._limit_name = "max_completion_tokens"
            return True
        if self._schema and not self._fixed:
            self._schema = False
            return True
        return False

    def _send(self, question: Question) -> bytes | _Rejected:
        """Sends one request and returns the body of the answer.

        Raises:
            ServiceError: if the server refuses the request for good.
            _FaultError: if another attempt may succeed.
        """
        import httpx2  # noqa: PLC0415  # belongs to the extra chat
        import openai  # noqa: PLC0415  # as above

        form: dict[str, Any] = {self._limit_name: self.answer_tokens}
        if self._schema:
            schema = {"name": "ranking", "strict": True, "schema": question.schema()}
            form["response_format"] = {"type": "json_schema", "json_schema": schema}
        end = self.clock.now() + self.timeout
        try:
            with self._client.chat.completions.with_streaming_response.create(
                model=self.model, messages=question.messages, temperature=0, seed=self.seed, **form
            ) as response:
                body = b""
                for part in response.iter_bytes():
                    body += part
                    if self.clock.now() > end:
                        raise _FaultError(f"no complete answer within {self.timeout:g} s")
                    if len(body) > MOST_BODY:
                        raise self._error("an answer of more than 1 MiB", "")
                return body
        except openai.APIStatusError as error:
            status, content, headers = error.status_code, error.body, error.response.headers
        except (openai.APITimeoutError, httpx2.TimeoutException):
            raise _FaultError(f"no complete answer within {self.timeout:g} s") from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            refused = isinstance(cause, httpx2.ConnectError)
            what = "no connection" if refused else "the connection broke"
            raise _FaultError(what, unbilled=refused) from None
        # This is outside the handler, because a traceback would show the client's error, which may hold the key.
        return self._reject(status, content, headers)

    def _reject(self, status: int, content: object, headers: Mapping[str, str]) -> _Rejected:
        """Handles an answer with an error status.

        Returns:
            The rejection, if another form of the request may be accepted.

        Raises:
            ServiceError: if no other request can succeed.
            _FaultError: if the same request may succeed later.
        """
        if status in TRANSIENT or status >= 500:
            raise _FaultError(f"HTTP {status}", self._wait(headers.get("Retry-After", "")), unbilled=True)
        if status in (401, 403):
            hint = f"set {KEY}, and {ADDRESS} to this address" if not self._key else f"is {KEY} right?"
            raise self._error(f"HTTP {status}: the server refuses the key", hint)  # its own words may hold the key
        reason = self._reason(content)
        if status in (400, 422):
            return _Rejected(status, reason)
        raise self._error(f"HTTP {status}: {reason}", "is this the address of an OpenAI-compatible interface?")

    def _wait(self, text: str) -> float | None:
        """Returns the seconds that a header ``Retry-After`` asks for, or None."""
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if math.isfinite(seconds):
            return max(0.0, seconds)
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - self.clock.today())
        except (TypeError, ValueError, OverflowError):
            return None

    def _reason(self, content: object) -> str:
        """Returns a server's own description of an error, without the key."""
        inner = content.get("error", content) if isinstance(content, dict) else content
        message = inner.get("message", inner) if isinstance(inner, dict) else inner
        return in_one_line(self._without_key(str(message)), MOST_REASON)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _read(self, body: bytes, most: int) -> Reply:
        """Returns the answer in the body of a response.

        Args:
            body: the body.
            most: the number of prompt tokens to count if the server reports none.

        Raises:
            _FaultError: if the body is not a complete answer.
        """
        try:
            content = json.loads(body)
            choice = content["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
            refused = bool(message.get("refusal")) or choice.get("finish_reason") == "content_filter"
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            raise _FaultError("an answer that is not a chat completion in JSON") from None
        usage = content.get("usage")
        read, written = (
            _count(usage, name, default)
            for name, default in (("prompt_tokens", most), ("completion_tokens", self.answer_tokens))
        )
        return Reply(self._without_key(str(text)), refused, read, written)

    def _error(self, problem: str, hint: str) -> ServiceError:
        return ServiceError(problem, where=self.base_url, hint=hint)


class _Rejected(NamedTuple):
    """An answer with status 400 or 422, and the server's reason."""

    status: int
    reason: str


def _count(usage: object, name: str, default: int) -> int:
    """Returns a number of tokens that a server reports, or the default."""
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
