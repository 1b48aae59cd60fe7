"""Tests that the conformance class of membership attacks detects planted faults."""

import numpy as np
import pytest

from robench.testing import MembershipAttackTests
from robench_plugins.attacks.membership.score_membership import ScoreMembership


class Blind(ScoreMembership):
    """An attack with a planted fault: it looks at nothing."""

    def features(self, users):
        return np.zeros((len(users.lists), 1))


class Relative(ScoreMembership):
    """An attack with a planted fault: it compares the users of a chunk."""

    def features(self, users):
        values = super().features(users)
        return values - values.mean(0)


class Unseeded(ScoreMembership):
    """An attack with a planted fault: it draws numbers that the host cannot seed."""

    def infer(self, shadow, members, target, rng):
        return super().infer(shadow, members, target, rng) + np.random.default_rng().normal(size=len(target))


@pytest.mark.parametrize(
    ("attack", "test"),
    [
        (Blind, "test_it_tells_the_members_of_a_victim_that_gives_them_away"),
        (Relative, "test_the_features_of_a_user_do_not_depend_on_the_other_users"),
        (Unseeded, "test_the_same_seed_gives_the_same_scores"),
    ],
)
def test_a_planted_fault_fails(attack, test):
    class Tests(MembershipAttackTests):
        pass

    Tests.attack = attack
    with pytest.raises(AssertionError):
        getattr(Tests(), test)()
