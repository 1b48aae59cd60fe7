"""Tests that attacks with fake users evade the detector of their victim."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.defenses.detection.worlds import ITEMS, TARGETS, real_users

from robench.api import Defense, Interactions, Rng
from robench.api.data import Catalogue, Item, TrainData
from robench.engine.fit.poisoning import add_profiles
from robench.engine.fit.profiles import ProfileMaker, VictimPipeline
from robench.engine.fit.sanitising import sanitise
from robench.store.detection import measure_detection
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.evasion import exchange, largest
from robench_plugins.attacks.poisoning.pga import Pga
from robench_plugins.attacks.poisoning.revadv import RevAdv
from robench_plugins.defenses.detection.degree_sad import DegreeSad
from robench_plugins.defenses.detection.fap import Fap
from robench_plugins.defenses.detection.near_duplicate import NearDuplicate
from robench_plugins.defenses.detection.pca_varselect import PcaVarSelect
from robench_plugins.models.popularity import Popularity

EVADE = {"evade": True, "knowledge": {"model": "surrogate"}}
SHORT = {"steps": 3, "factors": 4, "rounds": 3, "weight_decay": 2.0}
UNIFORM, POPULAR = {"popular": 0.0}, {"popular": 1.0}
SEEDS = (0, 1, 2)


def maker(attack, defense, seed=0, epsilon=0.05, train=None):
    """Returns the host's maker of profiles for a victim with this defence."""
    train = real_users(seed) if train is None else train
    none = Interactions.from_rows([[]] * train.n_users, train.n_items)
    items = Catalogue(tuple(map(str, range(train.n_items))), (Item(),) * train.n_items)
    data = TrainData(train, none, items)
    victim = VictimPipeline(Popularity, {}, defense, seed, torch.device("cpu"))
    return ProfileMaker(attack, data, TARGETS, epsilon, Rng(seed).child("poison"), victim)


def detection(attack, defense, seed):
    """Returns the measures of a detection, and the reported costs of the fake users."""
    made = maker(attack, defense, seed)
    arrays, report = made.make()
    train = add_profiles(made.data.train, made.read(arrays)).train
    result = sanitise(defense, train, Rng(seed))
    return measure_detection(result.suspicion, result.flagged, made.data.train.n_users) | report


def means(attack, defense):
    numbers = [detection(attack, defense, seed) for seed in SEEDS]
    return {name: float(np.mean([one[name] for one in numbers])) for name in ("auroc", "recall")}


@pytest.mark.parametrize(
    ("detector", "attack", "plain"),
    [
        (NearDuplicate, Bandwagon, POPULAR),
        (Fap, Bandwagon, POPULAR),
        (PcaVarSelect, Bandwagon, UNIFORM),
        (PcaVarSelect, Pga, SHORT),
        (PcaVarSelect, RevAdv, SHORT),
    ],
)
def test_evading_fakes_are_less_suspicious_than_plain_ones(detector, attack, plain):
    before = means(attack.make(**plain), detector())
    after = means(attack.make(**plain, **EVADE, suspicion_requests=20), detector())
    assert after["auroc"] < before["auroc"] - 0.2
    assert after["auroc"] < 0.55, "they look like median users"
    assert after["recall"] < before["recall"]


def test_a_detector_with_random_examples_flags_fewer_fakes():
    """The trees of the victim and the attack differ by their random numbers."""
    plain, detector = Bandwagon.make(**UNIFORM), DegreeSad.make(fakes=1, trained_on=("random",))
    before = means(plain, detector)
    assert before["recall"] > 0.2
    assert means(Bandwagon.make(**UNIFORM, **EVADE, suspicion_requests=20), detector)["recall"] < 0.05
    knowing = {**EVADE, "knowledge": {"model": "victim"}}
    after = means(Bandwagon.make(**UNIFORM, **knowing, suspicion_requests=20), detector)
    assert after["auroc"] < before["auroc"] - 0.15
    assert after["recall"] == 0


def test_the_loss_of_the_attack_stays_low():
    """A search by suspicion alone would take items that few users have."""
    report = detection(Bandwagon.make(popular=1.0, **EVADE), NearDuplicate(), 0)
    mean = float(np.log1p(real_users(0).counts()).mean())
    assert -report["profile_evade_loss_before"] > -report["profile_evade_loss_after"] > mean + 0.3


def test_the_loss_of_a_gradient_attack_falls_if_no_filter_is_in_its_way():
    class Blind(NearDuplicate):
        """A detector to which all users look the same."""

        def scores(self, train, rng):
            return np.zeros(train.n_users)

    report = detection(Pga.make(**SHORT, **EVADE, suspicion_requests=40), Blind(), 0)
    assert report["profile_evade_loss_after"] < report["profile_evade_loss_before"]


@pytest.mark.parametrize(("attack", "short"), [(RevAdv, SHORT), (Bandwagon, {})])
def test_valuable_fillers_lower_the_loss(attack, short):
    judge = attack.make(**short).judge(real_users(), TARGETS, 6, Rng(0))
    fillers = [np.arange(10, 20) + 5 * fake for fake in range(6)]
    values = np.broadcast_to(judge(fillers)[1], (6, ITEMS))
    losses = []
    for sign in (1, -1):  # the most valuable new fillers, and the least valuable ones
        rows = []
        for row, value in zip(fillers, values, strict=True):
            keys = sign * value
            keys[[*row, *TARGETS]] = -np.inf
            rows.append(np.concatenate([row[:5], largest(keys, 5)]))
        losses.append(judge(rows)[0])
    assert losses[0] < losses[1]


@given(
    requests=st.integers(1, 9),
    goal=st.sampled_from(["promote", "demote", "untargeted"]),
    place=st.sampled_from(["random", "last", "behind"]),
    size=st.sampled_from([2, 3, 14, ITEMS]),
    epsilon=st.sampled_from([0.01, 0.1]),
)
@settings(max_examples=25, deadline=None)
def test_evading_fakes_obey_every_budget(requests, goal, place, size, epsilon):
    attack = Bandwagon.make(goal=goal, place_targets=place, profile_size=size, suspicion_requests=requests, **EVADE)
    made = maker(attack, NearDuplicate(), epsilon=epsilon)
    arrays, report = made.make()
    rows = made.read(arrays).rows
    assert len(rows) == (2 if epsilon == 0.01 else 12)
    assert report["suspicion_requests"] <= requests
    assert report["filter_choices"] <= requests
    for row in rows:
        assert goal == "untargeted" or np.isin(TARGETS, row).tolist() == [goal == "promote"] * 2


def test_without_a_filter_the_fakes_are_the_plain_ones():
    for attack in (Bandwagon, Pga):
        short = {} if attack is Bandwagon else SHORT
        plain, evading = (maker(attack.make(**short, **more), Defense()).make() for more in ({}, EVADE))
        np.testing.assert_array_equal(plain[0]["items"], evading[0]["items"])
        assert evading[1]["suspicion_requests"] == 0


def test_the_returned_fakes_are_among_those_that_the_filter_has_seen():
    assert detection(Bandwagon.make(**EVADE, suspicion_requests=12), NearDuplicate(), 0)["filter_choices"] > 2


def test_evasion_and_knowledge_of_the_defence_go_together():
    with pytest.raises(ValueError, match="evade needs knowledge of the defence"):
        Bandwagon.make(evade=True)
    with pytest.raises(ValueError, match="does nothing without evade: true"):
        Pga.make(knowledge={"model": "victim"})
    for attack in (Bandwagon, Pga, RevAdv):
        assert not {"evade", "knowledge", "suspicion_requests"} & attack.make().config.resolved().keys()
        assert (attack.make().adaptivity(), attack.make(**EVADE).adaptivity()) == ("oblivious", "yes")


def test_an_exchange_gives_up_the_least_valuable_fillers():
    value = np.arange(10.0)
    row, donated = np.array([9, 1, 5, 3]), np.array([2, 3, 7])
    assert exchange(row, donated, 0, value).tolist() == [9, 1, 5, 3]
    assert exchange(row, donated, 1, value).tolist() == [9, 5, 3, 7]
    assert exchange(row, donated, 9, value).tolist() == [9, 3, 7, 2]


def test_the_largest_keys_come_first():
    keys = np.array([3.0, 9.0, -np.inf, 5.0])
    assert [largest(keys, count).tolist() for count in (0, 1, 3, 9)] == [[], [1], [1, 3, 0], [1, 3, 0, 2]]
