"""Tests that an attack with fake users sees only the real users that it may know."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robench.api import Defense, Interactions, PoisoningAttack, Profiles, Rng
from robench.api.knowledge import Knowledge
from robench.api.threat import Threat
from robench.engine.fit.attacker import choose_seen_users, keep_seen
from robench.engine.fit.poisoning import poison
from robench.engine.fit.profiles import ProfileMaker, VictimPipeline
from robench.testing.worlds import crowd
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.copy_profile import CopyProfile
from robench_plugins.attacks.poisoning.dpa2dl import Dpa2dl
from robench_plugins.attacks.poisoning.pga import Pga
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles
from robench_plugins.attacks.poisoning.rapu_r import RapuR
from robench_plugins.attacks.poisoning.revadv import RevAdv
from robench_plugins.attacks.poisoning.segment import Segment
from robench_plugins.defenses.detection.near_duplicate import NearDuplicate
from robench_plugins.models.popularity import Popularity

N_ITEMS = 12
TARGETS = np.array([1, 4])
ORDER = np.array([3, 0, 7, 1, 6, 2, 5, 4])
ROWS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=6, unique=True), min_size=5, max_size=20)
ATTACKS = [Bandwagon, CopyProfile, RandomProfiles, Segment]


def profiles_of(attack, rows, seed=0, epsilon=0.3, targets=TARGETS):
    train = Interactions.from_rows(rows, N_ITEMS)
    poisoned = poison(attack, train, targets=targets, epsilon=epsilon, rng=Rng(seed)).train
    return [poisoned.row(user).tolist() for user in range(train.n_users, poisoned.n_users)]


@pytest.mark.parametrize("attack", ATTACKS)
@given(rows=ROWS, share=st.sampled_from([0.2, 0.5]), seed=st.integers(0, 3), data=st.data())
@settings(max_examples=30, deadline=None)
def test_profiles_do_not_depend_on_users_that_the_attack_does_not_see(attack, rows, share, seed, data):
    seen = choose_seen_users(len(rows), share, Rng(seed).child("seen")).tolist()
    others = [row if user in seen else data.draw(ROWS)[0] for user, row in enumerate(rows)]
    settings = {"knowledge": {"data": share}}
    assert profiles_of(attack.make(**settings), rows, seed) == profiles_of(attack.make(**settings), others, seed)


SHORT = {"steps": 3, "factors": 4, "rounds": 3}
FAST = {"first_steps": 5, "steps_per_fake": 2, "factors": 4}
FITTED = [
    (Bandwagon, {"evade": True, "suspicion_requests": 8}, "surrogate"),
    (Bandwagon, {"evade": True, "suspicion_requests": 8}, "victim"),
    (Dpa2dl, FAST | {"poison_steps": 2}, "none"),
    (Pga, SHORT, "none"),
    (Pga, SHORT | {"evade": True, "suspicion_requests": 8}, "surrogate"),
    (RapuR, FAST, "none"),
    (RevAdv, SHORT | {"unrolled": 2}, "none"),
]


@pytest.mark.parametrize(("attack", "settings", "model"), FITTED)
def test_neither_surrogates_nor_suspicion_tell_of_users_that_the_attack_does_not_see(attack, settings, model):
    data = crowd(n_users=40, ragged=True)[0]
    attack = attack.make(**settings, knowledge={"data": 0.2, "model": model})
    unseen = np.setdiff1d(np.arange(40), choose_seen_users(40, 0.2, Rng(3).child("seen")))
    rows = [[5, 6, 7] if user in unseen else data.train.row(user) for user in range(40)]
    held = [[8] if user in unseen else data.validation.row(user) for user in range(40)]
    n_items = data.n_items
    other = replace(
        data,
        train=Interactions.from_rows(rows, n_items),
        validation=Interactions.from_rows(held, n_items),
    )
    pipeline = VictimPipeline(Popularity, {}, NearDuplicate(), 0, torch.device("cpu"))
    makers = [ProfileMaker(attack, one, TARGETS, 0.1, Rng(3), pipeline) for one in (data, other)]
    one, same = (maker.make()[0] for maker in makers)
    np.testing.assert_array_equal(one["items"], same["items"])
    assert len(one["lengths"]) == 4


@given(n_users=st.integers(1, 50), shares=st.tuples(st.floats(0.001, 1), st.floats(0.001, 1)), seed=st.integers(0, 9))
@settings(max_examples=50, deadline=None)
def test_a_larger_share_sees_the_users_of_a_smaller_one(n_users, shares, seed):
    small, large = (set(choose_seen_users(n_users, share, Rng(seed)).tolist()) for share in sorted(shares))
    assert small <= large
    assert 1 <= len(small) <= n_users


class Peeking(PoisoningAttack):
    """An attack that records the number of users that it sees, and the profile size."""

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        self.users, self.size = train.n_users, profile_size
        return Profiles.of([targets.tolist()] * n_users)


def test_the_number_of_fakes_follows_all_users_and_their_size_the_seen_ones():
    rows = [[0, 1, 2]] * 5 + [[0, 1, 2, 3, 4, 5]] * 5
    for seed in range(4):
        attack = Peeking.make(knowledge={"data": 0.2})
        assert len(profiles_of(attack, rows, seed)) == 3
        seen = choose_seen_users(10, 0.2, Rng(seed).child("seen"))
        assert (attack.users, attack.size) == (2, int(np.median([len(rows[user]) for user in seen])))


def test_the_seen_data_have_the_rows_of_the_seen_users_in_every_part():
    data = crowd(n_users=8)[0]
    data = replace(data, profiles=tuple(f"profile {user}" for user in range(8)), known=data.validation.rows_in(ORDER))
    seen = keep_seen(data, np.array([1, 5, 6]))
    for part in ("train", "validation", "known"):
        whole, kept = getattr(data, part), getattr(seen, part)
        assert [kept.row(user).tolist() for user in range(kept.n_users)] == [whole.row(u).tolist() for u in (1, 5, 6)]
    assert seen.profiles == ("profile 1", "profile 5", "profile 6")


def test_the_size_of_a_fake_user_is_checked_against_the_seen_users():
    data, attack = crowd(n_users=40, ragged=True)[0], Peeking.make(knowledge={"data": 0.1})
    pipeline = VictimPipeline(Popularity, {}, Defense(), 0, torch.device("cpu"))
    sizes = set()
    for seed in range(6):
        maker = ProfileMaker(attack, data, TARGETS, 0.1, Rng(seed), pipeline)
        maker.make()
        assert maker.budget.size == attack.size == int(np.median(maker.seen.train.lengths()))
        sizes.add(attack.size)
    assert len(sizes) > 1


@pytest.mark.parametrize(
    ("data", "model", "norm"),
    [
        (1.0, "none", "users"),
        (0.2, "none", "users-seen-0.2"),
        (1.0, "surrogate", "users-surrogate"),
        (0.05, "victim", "users-seen-0.05-victim"),
    ],
)
def test_knowledge_is_a_threat_model(data, model, norm):
    knowledge = Knowledge(data, model)
    assert knowledge.norm == norm
    assert Threat("interactions", "train", norm).knowledge == knowledge


def test_knowledge_of_the_default_changes_no_setting_and_other_knowledge_does():
    assert Bandwagon.make().config.resolved() == {"profile_size": None, "k": 10, "popular": 0.5}
    assert Bandwagon.make(knowledge={"data": 0.2}).config.resolved()["knowledge"] == {"data": 0.2, "model": "none"}
    assert Bandwagon.make().threat().norm == "users"
    assert Bandwagon.make(knowledge={"data": 0.2}).threat().norm == "users-seen-0.2"
    with pytest.raises(ValidationError, match=r"knowledge: \{model: surrogate\} does nothing without evade: true"):
        Bandwagon.make(knowledge={"model": "surrogate"})
