"""Tests requests to a server that misbehaves, and their limits."""

import json

import pytest
from tests.chat_server import KEY, ChatServer, chatting

from robench.api.errors import ServiceError
from robench.api.spending import Spending
from robench_plugins.models.chat.caps import Caps, Prices
from robench_plugins.models.chat.messages import Question
from robench_plugins.models.chat.service import ADDRESS, Clock, Service, key_for

pytest.importorskip("openai")
MESSAGES = [{"role": "system", "content": "Rank."}, {"role": "user", "content": "The candidates are:\n1. Heat\n2. Up"}]
QUESTION = Question(MESSAGES, 2, cut=False)
PLENTY = Spending(100, 10**6, 10.0)


@pytest.fixture
def server(monkeypatch):
    """Yields a server that gets the key."""
    with chatting() as running:
        monkeypatch.setenv(ADDRESS, running.address)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: 1")
        yield running


def _service(server: ChatServer, waits: list[float] | None = None, *, limit: Spending = PLENTY, **settings) -> Service:
    usual = {"seed": 3, "answer_tokens": 50, "structure": "auto", "timeout": 5.0, "attempts": 3}
    clock = Clock(sleep=[].append if waits is None else waits.append, today=lambda: 1e9)
    caps = Caps(limit, Prices(1.0, 2.0))
    return Service(server.address, "tiny", **{**usual, **settings}, caps=caps, clock=clock)


def test_a_request_is_deterministic_structured_and_carries_the_key_alone(server):
    service = _service(server)
    reply = service.ask(QUESTION)
    assert (reply.text, reply.refused, reply.read, reply.written) == ('{"ids": [1, 2]}', False, 100, 20)
    (body,) = server.requests
    assert (body["temperature"], body["seed"], body["model"], body["max_tokens"]) == (0, 3, "tiny", 50)
    assert body["response_format"]["json_schema"]["schema"]["properties"]["ids"]["maxItems"] == 2
    assert server.keys == [f"Bearer {KEY}"]
    assert not any(name.startswith(("x-secret", "openai")) for name in server.headers)
    assert service.caps.spent == Spending(1, 120, pytest.approx(140e-6))


def test_the_key_goes_to_no_other_server(server, monkeypatch):
    monkeypatch.setenv(ADDRESS, "https://elsewhere.example/v1")
    _service(server).ask(QUESTION)
    assert server.keys == [None]
    monkeypatch.delenv(ADDRESS)
    assert key_for("https://api.openai.com/v1") == KEY
    assert not key_for("http://api.openai.com/v1")
    assert not key_for("https://api.openai.com.evil.example/v1")


@pytest.mark.parametrize("fault", ["429", "500", "503", "408", "cut", "html", "slow", "drip"])
def test_a_fault_that_passes_costs_one_attempt(server, fault):
    server.faults, waits = [fault], []
    service = _service(server, waits, timeout=0.2 if fault in ("slow", "drip") else 5.0)
    assert service.ask(QUESTION).text == '{"ids": [1, 2]}'
    assert len(server.requests) == 2 == service.caps.spent.requests
    assert waits == [1.0]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("429", "HTTP 429, 3 times"),
        ("500", "HTTP 500, 3 times"),
        ("cut", "the connection broke, 3 times"),
        ("html", "an answer that is not a chat completion in JSON, 3 times"),
        ("slow", "no complete answer within 0.1 s, 3 times"),
        ("401", "HTTP 401: the server refuses the key"),
        ("404", "HTTP 404: no: Bearer [key]"),
        ("302", "HTTP 302: no: Bearer [key]"),
        ("400", "HTTP 400: no: Bearer [key]"),
    ],
)
def test_a_fault_that_stays_is_one_line_without_the_key(server, fault, problem):
    server.always, waits = fault, []
    with pytest.raises(ServiceError) as caught:
        _service(server, waits, timeout=0.1 if fault == "slow" else 5.0).ask(QUESTION)
    line = str(caught.value)
    assert line.startswith(f"{server.address}: {problem}")
    assert "\n" not in line
    assert KEY not in line
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    repeated = problem.endswith("3 times")
    assert len(server.requests) == {"400": 2}.get(fault, 3 if repeated else 1)  # without the schema, and then never
    assert waits == ([1.0, 2.0] if repeated else [])


def test_a_server_that_is_gone_is_one_line():
    with chatting() as server:
        pass
    with pytest.raises(ServiceError, match="no connection, 3 times"):
        _service(server).ask(QUESTION)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("7", 7.0), ("1e9", 60.0), ("Sun, 09 Sep 2001 01:46:50 GMT", 10.0), ("soon", 1.0), ("-5", 0.0), ("nan", 1.0)],
)
def test_the_server_says_when_to_come_back(server, header, expected):
    server.faults, server.retry_after, waits = ["429"], header, []
    _service(server, waits).ask(QUESTION)
    assert waits == [expected]


def test_a_dialect_is_learnt_once(server):
    server.always = "no schema"
    service = _service(server)
    assert service.ask(QUESTION).text == service.ask(QUESTION).text
    assert ["response_format" in body for body in server.requests] == [True, False, False]
    server.always = "new limit"
    service.ask(QUESTION)
    assert [sorted(set(body) & {"max_tokens", "max_completion_tokens"}) for body in server.requests[3:]] == [
        ["max_tokens"],
        ["max_completion_tokens"],
    ]


def test_a_schema_that_the_suite_asks_for_is_never_dropped(server):
    server.always = "no schema"
    with pytest.raises(ServiceError, match="HTTP 400: response_format is unknown"):
        _service(server, structure="schema").ask(QUESTION)


def test_the_limit_on_requests_holds_exactly(server):
    server.always = "500"
    service = _service(server, limit=Spending(5, 10**6, 1.0), attempts=4)
    for problem in ("HTTP 500, 4 times", "max_requests = 5", "max_requests = 5"):
        with pytest.raises(ServiceError, match=problem):
            service.ask(QUESTION)
    assert len(server.requests) == 5


@pytest.mark.parametrize(("limit", "name"), [((9, 500, 9.0), "max_tokens"), ((9, 10**6, 3e-4), "max_cost")])
def test_the_limits_on_tokens_and_cost_are_never_exceeded(server, limit, name):
    """Asks twice: 120 tokens are spent at a time, and at most 227 are reserved."""
    service = _service(server, limit=Spending(*limit))

    def ask_often() -> None:
        for _ in range(9):
            service.ask(QUESTION)

    with pytest.raises(ServiceError, match=name):
        ask_often()
    assert not service.caps.spent.exceeds(service.caps.limit)
    assert 1 <= len(server.requests) <= 3


def test_a_server_that_reports_no_tokens_is_charged_the_most(server):
    server.faults = ["no usage"]
    service = _service(server)
    reply = service.ask(QUESTION)
    bytes_ = sum(len(message["content"]) for message in MESSAGES)
    assert (reply.read, reply.written) == (bytes_ + 128, 50)
    assert service.caps.spent.tokens == bytes_ + 178


def test_an_answer_that_holds_the_key_loses_it(server):
    server.faults = ["echo"]
    assert _service(server).ask(QUESTION).text == 'Bearer [key] {"ids": [1, 2]}'


def test_refusals_are_answers(server):
    server.faults = ["refuse", "filter"]
    service = _service(server)
    assert [service.ask(QUESTION).refused for _ in range(3)] == [True, True, False]
    assert json.loads(service.ask(QUESTION).text) == {"ids": [1, 2]}
