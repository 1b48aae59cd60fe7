"""Tests what the host refuses in an artefact, without a victim."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robench.api.attacks.ball import Ball
from robench.api.errors import UserError
from robench.engine.surfaces.embedding.oracle import EmbeddingOracle
from robench.engine.surfaces.text.budget import TitleBudget
from robench.engine.surfaces.text.oracle import TitleOracle
from robench.run.artefact_attack import ArtefactDeltas, ArtefactTitles
from robench.store.artefact import Artefact

RADIUS = 2.0
TITLES = {"3": "one two three four", "5": "alone"}


class Embedded(EmbeddingOracle):
    """Two users with three places each, the last of which may not be perturbed."""

    users = torch.tensor([4, 7])

    def __init__(self):
        zero = {"x": torch.zeros(2, 3, 1)}
        valid = {"x": torch.tensor([[True, True, False]] * 2)}
        self.clean = SimpleNamespace(inputs=zero, valid=valid, zero=lambda: {"x": torch.zeros(2, 3, 1)})


class Titled(TitleOracle):
    """Two items with titles of four words and of one word."""

    items = np.array([3, 5])
    allowed = TitleBudget(tuple(TITLES.values()), 0.5, "words")

    def __init__(self):
        pass


def artefact(*, users=(), deltas=None, titles=None):
    arrays = {name: np.asarray(part, np.float32)[..., None] for name, part in (deltas or {}).items()}
    head = (b"", "a.npz", "c", "v", "Ann", np.array(users, np.int64))
    return Artefact(*head, deltas=arrays, histories=None, titles=titles or {})


def shift(*rows):
    """Returns what an artefact proposes for users 4 and 7.

    Args:
        *rows: the shifts of user 7 and of user 4.
    """
    attack = ArtefactDeltas(artefact(users=(7, 4), deltas={"x": rows}), None)
    return next(attack.perturb(Embedded(), Ball("l2", torch.full((2,), RADIUS)), None))["x"][..., 0].tolist()


def rewrite(titles):
    return next(ArtefactTitles(artefact(titles=titles), None).rewrite(Titled(), None))


def test_shifts_at_the_budget_belong_to_their_users():
    assert shift((0, RADIUS, 0), (1, 1, 0)) == [[1, 1, 0], [0, RADIUS, 0]]


@pytest.mark.parametrize(("size", "share"), [(1.001, "1.001"), (3, "3")])
def test_one_shift_beyond_its_budget_is_refused_with_its_size(size, share):
    with pytest.raises(UserError, match=f"the δ of user 7 is {share} times its budget$"):
        shift((0, size * RADIUS, 0), (1, 1, 0))


def test_a_shift_of_a_place_that_may_not_be_perturbed_is_refused():
    with pytest.raises(UserError, match="the δ of user 4 shifts places of 'x' that may not be perturbed"):
        shift((0, 1, 0), (0, 1, 0.1))


def test_titles_within_the_budget_keep_their_items():
    assert rewrite({3: "one two 3 4"}) == ["one two 3 4", "alone"]


@pytest.mark.parametrize(
    ("titles", "problem"),
    [
        ({3: "1 2 3 four"}, "the title of item 3 has 3 edits, and its budget is 2"),
        ({3: "one two three \a"}, "the title of item 3 has characters that cannot be printed"),
        ({4: "one"}, "the title of item 4 may not be rewritten"),
    ],
)
def test_a_title_that_breaks_a_rule_is_refused(titles, problem):
    with pytest.raises(UserError, match=problem):
        rewrite(titles)
