"""The table of surfaces: a row for every surface, and the rules that the tables and the engine read from it."""

from typing import get_args

from robench.api.threat import SURFACES, Surface


def test_every_surface_has_a_row():
    assert set(SURFACES) == set(get_args(Surface))


def test_an_ensemble_leaves_only_users_who_are_attacked_alone():
    assert all(rules.each_user_alone for rules in SURFACES.values() if rules.leaves_broken_users)
