"""Tests runs against a chat server: limits, keys, caches, and failures."""

import json

import pytest
from tests.chat_server import KEY, ChatServer, chatting, obedient
from tests.run.inline import run

from robench.engine.surfaces.text import similarity

pytest.importorskip("openai")
SUITE = """
name: talk
seeds: [0]
datasets: [{{name: synthetic, users: 40, items: 30, interactions_per_user: 12, min_user_interactions: 5}}]
users: {{sample: 6, seed: 0}}
models: [{{name: chat, base_url: "{address}", candidates: 6, validation_users: 2, attempts: 1{more}}}]
{rest}
targets: {{count: 1, pick: popular, sets: 1}}
"""
ATTACKED = """
defenses: [none, injection-filter, delimiters]
attacks: [{name: prompt-injection, epsilon: 2}]
"""


class Place:
    """A folder with a suite, and a server that the suite names."""

    def __init__(self, folder, robench, server: ChatServer) -> None:
        self.folder, self.robench, self.server = folder, robench, server
        self.errors = ""

    def write(self, more: str = "", rest: str = "") -> None:
        (self.folder / "talk.yaml").write_text(SUITE.format(address=self.server.address, more=more, rest=rest))

    def run(self, *words: str):
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": self.server.address}
        result = self.robench(self.folder, *words, "talk.yaml", ROBENCH_CACHE=str(self.folder / "cache"), **environment)
        self.errors += result.stderr + result.stdout
        return result

    def records(self) -> list[dict]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("results/**/cells/*.json"))]

    def holds_key(self) -> bool:
        files = (path.read_bytes() for path in self.folder.rglob("*") if path.is_file())
        return KEY in self.errors or any(KEY.encode() in content for content in files)


@pytest.fixture
def place(tmp_path, robench):
    with chatting(ChatServer(answer=obedient)) as server:
        yield Place(tmp_path, robench, server)


def test_a_board_under_injection_with_defences_asks_once_and_tells_no_key(place, monkeypatch, capfd, caplog):
    monkeypatch.setattr(similarity, "_encoder", lambda: None)  # The host's encoder takes seconds to load.
    monkeypatch.setenv("ROBENCH_CACHE", str(place.folder / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", place.server.address)
    place.write(rest=ATTACKED)
    place.server.faults = ["echo", "refuse", "empty"]
    run(place.folder / "talk.yaml", yes=True)
    asked = len(place.server.requests)
    assert asked > 6
    assert set(place.server.keys) == {f"Bearer {KEY}"}
    cells = {(r["spec"]["victim"]["defense"]["name"], r["spec"]["attack"] is not None): r for r in place.records()}
    assert {record["status"] for record in cells.values()} == {"ok"}
    readings = [record["reading"] for record in cells.values()]
    assert all(reading["answers"] == reading["prompts"] > 0 for reading in readings)
    assert sum(reading.get("unreadable", 0) for reading in readings) > 0
    exposure = {key: record["metrics"]["t-ndcg@10"]["value"] for key, record in cells.items()}
    assert exposure["none", True] > exposure["none", False]
    for name in ("injection-filter", "delimiters"):
        assert exposure[name, True] == exposure[name, False] == exposure["none", False]
    run(place.folder / "talk.yaml", yes=True, fresh=True)
    assert len(place.server.requests) == asked
    assert not any("requests" in record["reading"] for record in place.records())
    place.errors = "".join(capfd.readouterr()) + caplog.text
    assert not place.holds_key()


def test_the_limit_ends_the_run_with_one_line_and_a_higher_one_goes_on(place):
    place.write(", max_requests: 5")
    ended = place.run("run")
    assert ended.returncode == 2
    (line,) = [line for line in ended.stderr.splitlines() if "max_requests" in line]
    assert (
        "the next request may exceed max_requests = 5 (answers so far are kept; raise max_requests to continue)" in line
    )
    assert "Traceback" not in ended.stderr
    assert len(place.server.requests) == 5
    place.write(", max_requests: 50")
    assert place.run("run").returncode == 0
    assert len(place.server.requests) == 8  # six users, and two to validate on
    assert not place.holds_key()


def test_a_server_that_fails_ends_the_run_with_one_line(place):
    place.write()
    place.server.always = "500"
    ended = place.run("run")
    assert ended.returncode == 2
    assert f"{place.server.address}: HTTP 500" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not place.records()
    assert not place.holds_key()
