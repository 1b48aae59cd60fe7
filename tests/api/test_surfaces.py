"""Tests the table of surfaces.

Each surface has one row. The row holds the rules that the engine and the leaderboard apply to the surface.
"""

import importlib
from typing import get_args

import pytest

from robench.api.attacks.base import Attack
from robench.api.surfaces import SURFACES, Surface


def test_every_surface_has_a_row():
    assert set(SURFACES) == set(get_args(Surface))


def test_the_rules_are_those_of_the_design():
    alone = {name for name, rules in SURFACES.items() if rules.each_user_alone}
    across = {name for name, rules in SURFACES.items() if rules.ranks_models}
    assert alone == {"embedding", "history"}
    assert across == {"features", "history", "text", "interactions"}


def test_an_ensemble_leaves_only_users_who_are_attacked_alone():
    assert all(rules.each_user_alone for rules in SURFACES.values() if rules.leaves_broken_users)


@pytest.mark.parametrize("base", sorted({base for rules in SURFACES.values() for base in rules.attacks}))
def test_the_bases_of_attacks_are_classes_of_the_api(base):
    module, _, name = base.partition(":")
    assert issubclass(getattr(importlib.import_module(module), name), Attack)
