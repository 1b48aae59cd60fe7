"""Tests which edits of histories the host refuses, and how edits are counted."""

import numpy as np
import pytest
import torch

from robench.api import HistoryAttack, Interactions, PluginError, Rng
from robench.engine.attack import victim
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.measure import MeasuredVictim
from robench.engine.rank.chunk import mask_known
from robench.engine.rank.ranking import held_out_ranks
from robench.engine.surfaces.history.budget import edit_limits
from robench.engine.surfaces.history.oracle import EditedHistories
from robench.testing import ModelTests
from robench.testing.worlds import ReferenceSequence, crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.models.item_knn import ItemKnn


def arena_of(bench, attack, epsilon=1.0, targets=None):
    (arena,) = bench.surface("history").arenas(attack, epsilon, Costs(), Diagnosis(), targets)
    return arena


class Fixed(HistoryAttack):
    """An attack that proposes the rows that the function ``proposal`` returns."""

    proposal = None

    def rewrite(self, oracle, rng):
        yield self.proposal(oracle)


def cheat(change):
    """Returns an attack that applies ``change`` to the first user's row.

    The attack also makes an allowed edit for the second user.
    """

    def proposal(oracle):
        rows = [[item for item in row if item >= 0] for row in oracle.rows().tolist()]
        free = oracle.insertable()[1].nonzero()[0]
        rows[0] = change(rows[0], oracle)
        rows[1] = rows[1][:-1] + free.tolist()
        width = max(len(row) for row in rows)
        return torch.tensor([row + [-1] * (width - len(row)) for row in rows])

    attack = Fixed.make()
    attack.proposal = proposal
    return attack


CHEATS = {
    "over budget": lambda row, oracle: row[2:],
    "the held-out item": lambda row, oracle: [*row[:-1], int(oracle.goal.items[0, 0])],
    "a negative item": lambda row, oracle: [*row[:-1], -3],
    "a hole": lambda row, oracle: [*row[:-2], -1, row[-1]],
    "an item beyond the catalogue": lambda row, oracle: [*row[:-1], oracle.n_items],
    "an item twice": lambda row, oracle: [*row[:-1], row[0]],
}


@pytest.mark.parametrize("name", CHEATS)
def test_what_is_not_allowed_is_refused_and_recorded(name):
    bench = reference_victim("sequence")
    arena = arena_of(bench, cheat(CHEATS[name]))
    attack = cheat(CHEATS[name])
    (proposed,) = arena.proposals(attack, Rng(0))
    items = arena.within_budget(proposed)["items"]
    genuine = arena.genuine()["items"]
    assert torch.equal(items[0], genuine[0]), "a row that is not allowed was applied"
    assert not torch.equal(items[1], genuine[1]), "a lawful row beside it was not"
    measurement = bench.attacked(attack, 1, f"cheat-{name}")
    assert measurement.achieved["overshoot"] > 1
    assert measurement.arrays["edits"][0] == 0
    assert measurement.arrays["ranks"][0] == bench.clean(None).arrays["ranks"][0]


def test_a_promoted_item_may_not_come_in():
    attack = cheat(lambda row, oracle: [*row[:-1], int(oracle.goal.items[0].max())])
    attack.config = Fixed.Config(goal="promote")
    measurement = reference_victim("sequence").attacked(attack, 1, "cheat-promote", np.array([3, 17]))
    assert measurement.achieved["overshoot"] > 1
    assert measurement.arrays["edits"][0] == 0


def test_an_edit_without_a_budget_is_refused_and_recorded():
    measurement = reference_victim("sequence").attacked(cheat(lambda row, oracle: row[1:]), 0, "cheat-zero")
    assert measurement.achieved["overshoot"] > 1
    assert not measurement.arrays["edits"].any()


@pytest.mark.parametrize(
    "proposal",
    [
        lambda o: o.rows().float(),
        lambda o: o.rows()[:3],
        lambda o: o.rows()[0],
        lambda o: o.rows()[:, None],
        lambda o: o.rows().tolist(),
        lambda o: None,
    ],
)
def test_what_are_no_histories_is_the_plugins_error(proposal):
    attack = Fixed.make()
    attack.proposal = proposal
    with pytest.raises(PluginError, match="int64"):
        reference_victim("sequence").attacked(attack, 1, "shape")


def test_the_distance_is_levenshteins():
    attack = cheat(lambda row, oracle: [*row[1:], row[0]])  # moving an item takes a deletion and an insertion
    bench = reference_victim("sequence")
    for epsilon, applied in ((1, False), (2, True)):
        arena = arena_of(bench, attack, epsilon)
        (proposed,) = arena.proposals(attack, Rng(0))
        candidate = arena.within_budget(proposed)
        assert torch.equal(candidate["items"][0], arena.genuine()["items"][0]) != applied
    assert arena.stored(candidate)["edits"].tolist()[:3] == [2, 1, 0]


def test_some_rows_of_an_arena_are_seen_as_in_the_whole():
    bench, attack = reference_victim("ragged"), GreedyEdit.make(queries=4)
    arena, chosen = arena_of(bench, attack, 2), torch.tensor([7, 3, 40])
    part = arena.rows(chosen)
    assert torch.equal(part.to_break, arena.to_break[chosen])
    (*_, whole), (*_, some) = (list(a.proposals(attack, Rng(0))) for a in (arena, part))
    one, two = arena.judge(arena.within_budget(whole)), part.judge(part.within_budget(some))
    torch.testing.assert_close(two.damage, one.damage[chosen])
    torch.testing.assert_close(two.loss, one.loss[chosen])
    assert (arena.costs.queries, part.costs.queries) == (9 * 60, 9 * 3)


class Noisy(ReferenceSequence):
    """A model that adds new noise to its scores in every call at test time."""

    def score_from(self, batch, e):
        scores = super().score_from(batch, e)
        return scores if self.training else scores + 0.1 * torch.randn_like(scores)


@pytest.mark.parametrize("cls", [GreedyEdit, GreedyGradient])
def test_a_victim_that_draws_at_test_time_is_attacked_the_same_way_twice(cls):
    data, test = crowd()
    model, _ = fitted(Noisy.make(epochs=3), data)
    one, two = (measured_victim(model, data, test).attacked(cls.make(), 1, "noisy").arrays for _ in range(2))
    np.testing.assert_array_equal(one["ranks"], two["ranks"])
    assert one["loss"].mean() > one["clean_loss"].mean()


def test_budgets_in_edits_and_in_shares():
    lengths = torch.tensor([0, 3, 10, 100])
    assert edit_limits(2.0, "absolute", lengths).tolist() == [2, 2, 2, 2]
    assert edit_limits(0.9, "absolute", lengths).tolist() == [0, 0, 0, 0]
    assert edit_limits(0.3, "relative", lengths).tolist() == [1, 1, 3, 30]
    assert edit_limits(0.0, "relative", lengths).tolist() == [0, 0, 0, 0]


def test_edited_rows_stand_in_a_history_of_all_users():
    genuine = Interactions(*(np.array(part) for part in ([0, 2, 2, 5], [4, 1, 0, 2, 3], [10, 20, 30, 40, 50])), 6)
    histories = EditedHistories(genuine, np.array([2, 0])).with_rows(torch.tensor([[5, 2, 3, 1], [1, -1, -1, -1]]))
    assert [histories.row(user).tolist() for user in range(3)] == [[1], [], [5, 2, 3, 1]]
    assert histories.times.tolist() == [10, 30, 40, 50, 50]


class Nosy(ItemKnn):
    """A model with scores that also depend on the histories of other users."""

    def scores(self, users, history):
        return super().scores(users, history) + np.float32(len(history))


class Silent(ItemKnn):
    """A model that reads the history but does not declare ``history`` as a surface."""

    surfaces = frozenset()


class Deaf(ItemKnn):
    """A model that declares ``history`` as a surface but does not read the history."""

    def scores(self, users, history):
        return np.tile(self.counts, (len(users), 1))


@pytest.mark.parametrize(("cls", "problem"), [(Nosy, "other users"), (Silent, "not declared"), (Deaf, "do not follow")])
def test_a_wrong_word_about_histories_fails_conformance(cls, problem):
    class Tests(ModelTests):
        model = cls

    with pytest.raises(AssertionError, match=problem):
        Tests().test_scores_follow_the_history_where_that_is_declared_and_never_anyone_elses(Tests.fit_crowd())


def test_the_stored_script_makes_the_edited_histories_of_the_genuine_ones():
    bench = reference_victim("sequence")
    arrays = bench.attacked(GreedyEdit.make(queries=20), 3.0, "").arrays
    counts = np.bincount(arrays["script"][:, 0], minlength=len(bench.users))
    np.testing.assert_array_equal(counts[bench.users], arrays["edits"])
    assert arrays["edits"].max() == 3
    rows = [bench.history.row(user).tolist() for user in range(bench.history.n_users)]
    for user in range(len(rows)):
        shift = 0
        for _, place, out, new in arrays["script"][arrays["script"][:, 0] == user].tolist():
            at = place + shift
            if out >= 0:
                assert rows[user].pop(at) == out
                shift -= 1
            if new >= 0:
                rows[user].insert(at, new)
                shift += 1
    edited = Interactions.from_rows(rows, bench.history.n_items)
    again = measured_victim(bench.model, crowd()[0], bench.held)
    again.history, genuine = edited, again.chunks()
    scores = torch.from_numpy(bench.model.scores(bench.users, edited))
    ranks = held_out_ranks(mask_known(scores, genuine[0]), genuine[0].held)
    np.testing.assert_array_equal(ranks.numpy().ravel(), arrays["ranks"])


@pytest.fixture(scope="module")
def noisy():
    data, test = crowd()
    model, _ = fitted(Noisy.make(epochs=1), data)
    return measured_victim(model, data, test)


def test_an_attack_takes_its_own_expectation_of_draws_at_every_look_and_each_is_counted(noisy):
    chosen = torch.tensor([7, 3, 40])
    alone = arena_of(noisy, GreedyGradient.make(expectation=4))
    member = arena_of(noisy, GreedyGradient.make()).rows(chosen, 4)
    calm = arena_of(reference_victim("sequence"), GreedyGradient.make()).rows(chosen, 4)
    for arena, draws in ((alone, 4), (member, 4), (calm, 1)):
        oracle, users = arena.oracle, len(arena.to_break)
        oracle.evaluate(oracle.rows())
        assert (oracle.costs.queries, oracle.costs.gradients) == (draws * users, 0)
        oracle.slopes(oracle.rows())
        assert (oracle.costs.queries, oracle.costs.gradients) == (2 * draws * users, draws * users)


def test_every_chunk_starts_the_draws_of_an_attack_anew(noisy, monkeypatch):
    monkeypatch.setattr(victim, "chunk_size", lambda n_items, device: 25)
    bench = MeasuredVictim(noisy.model, noisy.history, noisy.held, noisy.users, 0)
    used = []
    for arena in bench.surface("history").arenas(GreedyGradient.make(), 1.0, Costs(), Diagnosis()):
        used.append(arena.oracle.draws.used)
        arena.oracle.evaluate(arena.oracle.rows())
        assert arena.oracle.draws.used == 1
    assert used == [0, 0, 0]
