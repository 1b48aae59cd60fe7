"""Tests tables of models that rerank candidates.

The tables show clean and attacked means over seeds.
"""

import numpy as np
import pytest
from tests.fakes import POISONING, USERS, World

from robench.report.markdown import to_markdown

TEXT = {"stage": "test", "surface": "text", "norm": "words", "scale": "relative", "goal": "promote", "k": 10}
ALL = [1] * USERS
TARGETS = {"target_ranks": [[3] * USERS]}


@pytest.fixture
def tables(tmp_path):
    world = World(tmp_path, [])
    for seed in (0, 1):
        stage = {"candidates": 20.0, "recall@candidates": 0.25 + seed / 10, "targets_among_candidates": 0.5}
        asked = {"answers": 100 + 300 * seed, "empty": 1, "too_long": 2, "not_finite": 1, "prompts": 7}
        world.cell(ALL, model="llm", seed=seed, diagnostics=stage, reading=asked, arrays=TARGETS)
        world.cell(ALL, model="mf", seed=seed, arrays=TARGETS)
        attacked = {**stage, **({"t-hr@10_given_candidate": 0.75} if seed else {})}
        world.cell(
            ALL, model="llm", seed=seed, attack="prefix", epsilon=0.5, threat=TEXT, diagnostics=attacked, arrays=TARGETS
        )
    world.cell([], model="llm", seed=2, status="failed")
    return world.build()


def test_clean_and_attacked_rows_are_means_over_seeds_of_those_that_say_something(tables):
    clean, attacked = tables.reranking
    assert {row.key.model_label for row in tables.reranking} == {"llm"}
    assert (clean.candidates, clean.reachable) == (20, 0.5)
    assert clean.recall == pytest.approx(0.3)
    assert clean.unusable == pytest.approx(8 / 500)
    assert clean.hits is None
    assert (attacked.attack_label, attacked.epsilon, attacked.norm) == ("prefix", 0.5, "words")
    assert attacked.hits == 0.75
    assert attacked.unusable is None, "nothing was asked"


def test_the_section_tells_them(tables):
    text = to_markdown(tables).partition("## Models of two stages")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    head, _, clean, attacked = rows
    told = dict(zip(head, clean, strict=True))
    assert (told["model"], told["attack"], told["ε"], told["candidates"]) == ("llm", "–", "–", "20")
    assert (told["recall"], told["reachable"], told["unusable"]) == (".3000", ".5000", "1.60%")
    told = dict(zip(head, attacked, strict=True))
    assert (told["attack"], told["ε"], told["T-HR@10 there"], told["unusable"]) == (
        "prefix",
        "0.5 (words)",
        ".7500",
        "–",
    )


def test_models_of_one_stage_have_no_such_section(tmp_path):
    world = World(tmp_path, [POISONING])
    world.cell(ALL, arrays={"target_ranks": np.full((1, USERS), 3)})
    found = world.build()
    assert found.reranking == []
    assert "Models of two stages" not in to_markdown(found)
