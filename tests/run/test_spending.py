"""Tests the bound on a run's spending, and when it needs ``--yes``."""

from types import SimpleNamespace

import pytest
from tests.run.inline import run

from robench.api.errors import UserError
from robench.api.models.base import Model
from robench.api.spending import Spending
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run import spending
from robench.run.preview import make_preview
from robench.verify.rerun import choose_measured
from robench_plugins.models.chat.model import Chat
from robench_plugins.models.content import Content
from robench_plugins.models.popularity import Popularity

SUITE = """
name: spend
seeds: [0, 1]
datasets: [{name: synthetic, users: 30, items: 20, interactions_per_user: 8, min_user_interactions: 5}]
users: {sample: 7, seed: 0}
models: [popularity]
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "spend.yaml"
    path.write_text(SUITE)
    return path


@pytest.mark.parametrize("amount", [Spending(500), Spending(0, 500_000), Spending(0, 0, 0.5)])
def test_a_run_below_the_limit_needs_no_yes_and_one_above_does(suite, monkeypatch, amount):
    monkeypatch.setattr(Popularity, "declared_spending", lambda _, histories: amount)
    run(suite)
    more = amount + Spending(1, 1, 0.01)
    monkeypatch.setattr(Popularity, "declared_spending", lambda _, histories: more)
    with pytest.raises(UserError, match=r"^--yes: popularity may take .* \(--yes allows it; up to 1,000 requests"):
        run(suite, fresh=True)
    run(suite, fresh=True, yes=True)
    run(suite)  # nothing is left to measure, so nothing can be spent


def test_the_plan_shows_the_bound_and_an_attack_at_test_time_has_none(suite, monkeypatch):
    """Popularity reads no titles, so only ``content`` is attacked.

    Seven users are evaluated, and the filters keep nine users to validate on.
    """
    suite.write_text(SUITE.replace("[popularity]", "[popularity, {name: content, min_items: 1}]"))
    text = suite.read_text() + "attacks: [{name: typo, epsilon: 0.34}]\ntargets: {count: 1, pick: popular, sets: 1}\n"
    suite.write_text(text)
    seen: dict[str, set[int | None]] = {}

    def declare(model: Model, histories: int | None) -> Spending:
        seen.setdefault(type(model).__name__, set()).add(histories)
        return Spending(10 if histories is None else histories)

    monkeypatch.setattr(Popularity, "declared_spending", declare)
    monkeypatch.setattr(Content, "declared_spending", declare)
    notes = make_preview(suite, Registry.of(Host.discover()), None, (), ()).notes
    assert seen == {"Popularity": {7 + 9}, "Content": {None}}
    assert [note for note in notes if note.startswith("outside this machine")] == [
        "outside this machine: popularity may take 32 requests, 0 tokens, cost 0.00 for 2 victims",
        "outside this machine: content may take 20 requests, 0 tokens, cost 0.00 for 2 victims",
    ]
    monkeypatch.setattr(spending, "LIMIT", Spending(51))
    notes = make_preview(suite, Registry.of(Host.discover()), None, (), ()).notes
    assert sum(note.endswith("; run asks for --yes") for note in notes) == 2


def test_models_that_use_a_service_are_never_measured_again_by_verify():
    assert Chat.uses_service()
    assert not Popularity.uses_service()
    cells = [SimpleNamespace(key=SimpleNamespace(model=name)) for name in ("chat", "popularity", "chat")]
    results = SimpleNamespace(cells=cells, status=lambda cell: "ok")
    assert choose_measured(results, Registry.of(Host.discover())) == cells[1:2]
