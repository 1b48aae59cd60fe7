"""Tests defences that share the checkpoint of the undefended victim.

Such a defence does not change the fit.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from tests.engine.fit.test_victim import victim_fit

from robench.api import Defense
from robench.spec import NO_DEFENSE, Part
from robench.testing.worlds import ReferencePairwise


class Wrapping(Defense):
    changes_fit: ClassVar[bool] = False

    def wrap(self, model, rng):
        return model


class Reading(Defense):
    changes_fit: ClassVar[bool] = False
    mark: ClassVar[str] = ""

    def clean_text(self, title):
        return title + self.mark


class Marking(Reading):
    mark: ClassVar[str] = "!"


class Lying(Wrapping):
    def loss(self, step):
        return 2 * step.losses(step.embed()).value.mean()


class Settling(Wrapping):
    def settled(self, epoch):
        return epoch > 1


class Checking(Wrapping):
    def check_epochs(self, epochs):
        pass


class Silent(Wrapping):
    changes_fit: ClassVar[bool] = True


def fit_of(cache, defense):
    """Returns the ``VictimFit`` of a victim with a defence.

    A plain ``Defense()`` gives the undefended victim.
    """
    plain = victim_fit(cache, defense=defense)
    part = NO_DEFENSE if type(defense) is Defense else Part(type(defense).__name__, {}, "d")
    return replace(plain, victim=replace(plain.victim, defense=part), undefended=Defense())


@pytest.mark.parametrize(
    ("defense", "shared"),
    [
        (Wrapping(), True),
        (Reading(), True),
        (Marking(), False),
        (Lying(), False),
        (Settling(), False),
        (Checking(), False),
        (Silent(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Defense) else "",
)
def test_only_a_defence_that_leaves_the_fit_alone_shares_it(tmp_path, defense, shared):
    """A defence that shares a checkpoint must declare that the fit stays unchanged.

    The defence must also override no hook that training calls, and change no title.
    """
    assert (fit_of(tmp_path, defense).key == fit_of(tmp_path, Defense()).key) == shared


def test_a_shared_victim_is_not_fitted_again_and_equal(tmp_path, monkeypatch):
    """The shared checkpoint is that of the undefended victim.

    The weights in the checkpoint equal those of a separate fit with the defence.
    """
    undefended = fit_of(tmp_path / "one", Defense()).fit()
    own = victim_fit(tmp_path / "other", defense=Wrapping()).fit()
    monkeypatch.setattr("robench.engine.fit.victim.fit", None)
    fit = fit_of(tmp_path / "one", Wrapping())
    shared = fit.fit()
    assert fit.cache.read("checkpoints", fit.key).notes["origin"]["victim"]["defense"]["name"] == "none"
    for name, part in undefended.model.state().items():
        np.testing.assert_array_equal(shared.model.state()[name], part)
        np.testing.assert_array_equal(own.model.state()[name], part)
    assert isinstance(shared.model, ReferencePairwise)
    assert shared.report == undefended.report
