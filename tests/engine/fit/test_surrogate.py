"""Tests the surrogates that an attack with fake users may fit, and their number."""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from tests.engine.fit.test_victim import victim_fit

from robench.api import Cleaned, Defense, PluginError, PoisoningAttack, Profiles
from robench.api.attacks.poisoning import AdaptivePoisoningConfig
from robench.testing.worlds import ReferencePairwise
from robench_plugins.models.popularity import Popularity

VICTIM = {"knowledge": {"data": 1.0, "model": "victim"}}
SURROGATE = {"knowledge": {"data": 1.0, "model": "surrogate"}, "surrogate_fits": 3}


class Fitting(PoisoningAttack):
    """An attack that fits ``times`` surrogates with its profiles.

    In the training data of the surrogates, each profile occurs 1 + ``extra`` times.
    """

    Config = AdaptivePoisoningConfig
    times = 1
    extra = 0
    made = 0
    surrogates: ClassVar[list] = []

    def craft(self, view, *, targets, n_users, profile_size, rng):
        type(self).made += 1
        self.view = view
        profiles = self.profiles(view.train, targets=targets, n_users=n_users, profile_size=profile_size, rng=rng)
        wanted = Profiles(profiles.rows * (1 + self.extra))
        if view.pipeline is None:
            return profiles
        type(self).surrogates = [view.pipeline.fit(wanted) for _ in range(self.times)]
        self.scores = view.pipeline.suspicion(wanted)
        return profiles

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        return Profiles.of([[*targets.tolist(), 20 + i] for i in range(n_users)], {"steps": 7})


class Suspecting(Defense):
    """A defence that suspects the shortest rows most.

    The defence empties each row of three items with an odd last item.
    """

    def sanitise(self, train, rng):
        rows = [train.row(user) for user in range(train.n_users)]
        kept = [row[:0] if len(row) == 3 and row[-1] % 2 else row for row in rows]
        cleaned = type(train).from_rows(kept, train.n_items)
        return Cleaned(cleaned, -train.lengths().astype(np.float64))


def attack_of(settings, **rules):
    attack = Fitting.make(**settings)
    for name, value in rules.items():
        setattr(attack, name, value)
    return attack


def states_of(model):
    return [value.tobytes() for value in model.state().values()]


def test_a_surrogate_with_the_knowledge_of_the_victim_is_the_victim_bit_for_bit(tmp_path):
    victim = victim_fit(tmp_path, attack=attack_of(VICTIM)).fit()
    assert states_of(Fitting.surrogates[0].model) == states_of(victim.model)


def test_other_surrogates_differ_from_the_victim_and_from_each_other(tmp_path):
    victim = victim_fit(tmp_path, attack=attack_of(SURROGATE, times=2)).fit()
    states = [states_of(surrogate.model) for surrogate in Fitting.surrogates]
    assert states[0] != states[1] != states_of(victim.model) != states[0]


def test_a_surrogate_of_a_defended_victim_is_cleaned_and_has_its_suspicions(tmp_path):
    attack = attack_of(VICTIM)
    victim = victim_fit(tmp_path, model=ReferencePairwise, attack=attack, defense=Suspecting()).fit()
    for suspicion in (Fitting.surrogates[0].suspicion, attack.scores):
        np.testing.assert_array_equal(suspicion.fakes, [-3] * 4)
        np.testing.assert_array_equal(suspicion.seen, -attack.view.train.lengths())
        np.testing.assert_array_equal(suspicion.flagged, [False, True, False, True])
    assert states_of(victim.model) != states_of(victim_fit(tmp_path, attack=attack_of({})).fit().model)
    assert states_of(Fitting.surrogates[0].model) == states_of(victim.model)


def test_a_fit_beyond_the_budget_or_with_too_many_fakes_is_refused(tmp_path):
    with pytest.raises(PluginError, match="more than 3 fits"):
        victim_fit(tmp_path, attack=attack_of(SURROGATE, times=4)).fit()
    with pytest.raises(PluginError, match="8 fake users; its budget is 4"):
        victim_fit(tmp_path, attack=attack_of(SURROGATE, extra=1)).fit()


def test_an_attack_cannot_raise_its_own_number_of_fits(tmp_path):
    class Greedy(Fitting):
        def craft(self, view, **more):
            view.pipeline.fits = 100

    with pytest.raises(AttributeError, match="fits"):
        victim_fit(tmp_path, attack=Greedy.make(**SURROGATE)).fit()


class Asking(Fitting):
    """An attack that asks a filter about ``asked`` sets, and returns set ``answer``."""

    asked = 3
    answer = 2

    def craft(self, view, *, targets, n_users, profile_size, rng):
        def fakes(number):
            return Profiles.of([[*targets.tolist(), 20 + i + number] for i in range(n_users)])

        for number in range(self.asked):
            self.left = view.pipeline.requests_left
            self.scores = view.pipeline.suspicion(fakes(number))
        return fakes(self.answer)


def asked(folder, defense, **rules):
    attack = Asking.make(**SURROGATE, suspicion_requests=3)
    for name, value in rules.items():
        setattr(attack, name, value)
    return attack, victim_fit(folder, model=ReferencePairwise, attack=attack, defense=defense).fit()


def test_requests_for_suspicion_are_counted_and_recorded(tmp_path):
    attack, fitted = asked(tmp_path, Suspecting())
    assert attack.left == 1
    for numbers in (fitted.achieved, fitted.report):
        assert (numbers["suspicion_requests"], numbers["filter_choices"], numbers["surrogate_fits"]) == (3, 3, 0)
    assert 0 < fitted.report["suspicion_seconds"] <= fitted.report["profile_seconds"]


def test_a_defence_without_a_filter_has_no_suspicion_to_request(tmp_path):
    attack, fitted = asked(tmp_path, None, asked=9)
    assert attack.scores is None
    assert attack.left == 3
    assert (fitted.achieved["suspicion_requests"], fitted.achieved["filter_choices"]) == (0, 0)


def test_a_request_beyond_the_budget_ends_in_one_line(tmp_path):
    with pytest.raises(PluginError) as caught:
        asked(tmp_path, Suspecting(), asked=4)
    assert str(caught.value) == "the attack asked for suspicion scores more than 3 times (suspicion_requests)"


def test_an_attack_that_returns_other_fakes_has_chosen_nothing_by_the_filter(tmp_path):
    assert asked(tmp_path / "other", Suspecting(), answer=3)[1].achieved["filter_choices"] == 0
    assert asked(tmp_path / "first", Suspecting(), answer=0)[1].achieved["filter_choices"] == 3
    assert asked(tmp_path / "none", Suspecting(), asked=0)[1].achieved["filter_choices"] == 0


def test_the_same_fakes_are_one_choice_however_often_an_attack_asks(tmp_path):
    class Insisting(Asking):
        def craft(self, view, *, targets, n_users, **more):
            profiles = Profiles.of([[*targets.tolist(), 20 + i] for i in range(n_users)])
            view.pipeline.fit(Profiles(()))
            view.pipeline.fit(profiles)
            for _ in range(3):
                view.pipeline.suspicion(profiles)
            return profiles

    attack = Insisting.make(**SURROGATE, suspicion_requests=3)
    fitted = victim_fit(tmp_path, model=ReferencePairwise, attack=attack, defense=Suspecting()).fit()
    assert (fitted.achieved["suspicion_requests"], fitted.achieved["filter_choices"]) == (3, 1)


def test_an_attack_cannot_state_what_the_host_counts(tmp_path):
    class Boasting(Asking):
        asked = 1

        def craft(self, view, **more):
            made = super().craft(view, **more)
            return Profiles(made.rows, {"filter_choices": 99, "suspicion_requests": 99})

    attack = Boasting.make(**SURROGATE)
    fitted = victim_fit(tmp_path, model=ReferencePairwise, attack=attack, defense=Suspecting()).fit()
    assert (fitted.achieved["suspicion_requests"], fitted.achieved["filter_choices"]) == (1, 0)


def test_fits_and_seconds_and_stated_costs_are_recorded(tmp_path):
    fitted = victim_fit(tmp_path, attack=attack_of(SURROGATE, times=2)).fit()
    assert fitted.achieved["surrogate_fits"] == fitted.report["surrogate_fits"] == 2
    assert 0 < fitted.report["surrogate_seconds"] <= fitted.report["profile_seconds"]
    assert fitted.report["profile_steps"] == 7
    assert [row.tolist() for row in fitted.fakes] == [[3, 8, 20 + i] for i in range(4)]


@pytest.mark.parametrize("model", ["none", "surrogate"])
def test_the_view_holds_the_seen_users_only(tmp_path, model):
    class Looking(Fitting):
        times = 0

        def craft(self, view, **more):
            self.view = view
            return self.profiles(view.train, **more)

    attack = Looking.make(knowledge={"data": 0.25, "model": model})
    victim_fit(tmp_path, model=ReferencePairwise, attack=attack, defense=Suspecting()).fit()
    assert attack.view.train.n_users == 10
    assert attack.adaptivity() == ("oblivious" if model == "none" else "yes")
    if model == "none":
        assert attack.view.pipeline is None
    else:
        profiles = attack.profiles(attack.view.train, targets=np.array([3, 8]), n_users=2, profile_size=3, rng=None)
        assert len(attack.view.pipeline.suspicion(profiles).seen) == 10
        assert {name for name in dir(attack.view.pipeline) if not name.startswith("__")} == {
            "fit",
            "fits_left",
            "requests_left",
            "suspicion",
        }


def test_profiles_are_made_once_for_all_models_and_adaptive_ones_once_per_pipeline(tmp_path):
    class Counting(Fitting):
        times = 0

        def craft(self, view, **more):
            type(self).made += 1
            return self.profiles(view.train, **more)

    for settings, made in (({}, 1), (SURROGATE, 5)):
        Counting.made = 0
        for model, defense in ((ReferencePairwise, None), (Popularity, None), (ReferencePairwise, Suspecting())):
            for _ in range(2):
                fit = victim_fit(tmp_path / str(made), model=model, attack=Counting.make(**settings), defense=defense)
                fit.victim = rename(fit.victim, model.__name__, type(fit.defense).__name__)
                assert len(fit._fit_data.poisoned.train) > 0
        for role, config in (("model", {"epochs": 3}), ("defense", {"quantile": 0.9})):
            fit = victim_fit(tmp_path / str(made), attack=Counting.make(**settings), defense=Suspecting())
            fit.victim = rename(fit.victim, "ReferencePairwise", "Suspecting")
            fit.victim = replace(fit.victim, **{role: replace(getattr(fit.victim, role), config=config)})
            assert len(fit._fit_data.poisoned.train) > 0
        assert Counting.made == made


def rename(victim, model, defense):
    part = replace(victim.defense, name=defense)
    config = {} if model == "Popularity" else victim.model.config
    return replace(victim, model=replace(victim.model, name=model, config=config), defense=part)


class Tampering(PoisoningAttack):
    """An attack that writes into the rows of real users."""

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        items = train.items
        while items.base is not None and not items.flags.writeable:
            items = items.base
        items[:5] = items[:5][::-1]
        return Profiles.of([targets.tolist()] * n_users)


def test_an_attack_that_changes_the_rows_of_real_users_is_refused(tmp_path):
    with pytest.raises(PluginError, match="changed the rows of real users"):
        victim_fit(tmp_path, attack=Tampering.make()).fit()


@pytest.mark.parametrize("cost", [math.inf, "7"])
def test_costs_that_are_not_finite_numbers_are_refused(tmp_path, cost):
    class Boasting(PoisoningAttack):
        def profiles(self, train, *, targets, n_users, profile_size, rng):
            return Profiles.of([targets.tolist()] * n_users, {"steps": cost})

    with pytest.raises(PluginError, match="'steps'"):
        victim_fit(tmp_path, attack=Boasting.make()).fit()


class Choosing(PoisoningAttack):
    """An attack that writes other items into the array of targets."""

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        asked = targets.copy()
        targets[:] = [5, 21]
        return Profiles((asked,) * n_users)


def test_an_attack_cannot_choose_the_targets_that_are_measured(tmp_path):
    fit = victim_fit(tmp_path, attack=Choosing.make())
    fit.fit()
    np.testing.assert_array_equal(fit.targets, [3, 8])


def test_costs_may_be_numbers_of_numpy_and_must_be_a_mapping(tmp_path):
    class Stating(PoisoningAttack):
        costs: object = None

        def profiles(self, train, *, targets, n_users, profile_size, rng):
            return Profiles((targets,) * n_users, self.costs)

    attack = Stating.make()
    attack.costs = {"steps": np.int64(3), "loss": np.float32(0.5)}
    report = victim_fit(tmp_path, attack=attack).fit().report
    assert (report["profile_steps"], report["profile_loss"]) == (3, 0.5)
    attack.costs = None
    with pytest.raises(PluginError, match="the costs of Profiles are NoneType, not a mapping"):
        victim_fit(tmp_path / "none", attack=attack).fit()


def test_no_fakes_are_the_clean_victim_bit_for_bit(tmp_path):
    clean = victim_fit(tmp_path / "clean").fit()
    none = victim_fit(tmp_path / "none", attack=attack_of({}, times=0), epsilon=0).fit()
    assert states_of(clean.model) == states_of(none.model)
    assert none.achieved["fake_users"] == 0
    assert not none.fakes
