"""Tests ``collide`` with a tiny encoder.

The tests cover conformance, and the codes of the titles that the attack writes.
"""

import numpy as np
import pytest
from tests.tiny_bert import tiny_bert

from robench.api import Rng
from robench.api.attacks.text import edits_between
from robench.testing import TextAttackTests
from robench.testing.text import title_oracle
from robench.testing.text_world import readers
from robench.testing.worlds import fitted
from robench_plugins.attacks.text.collide import Collide, edits, mixed
from robench_plugins.models.tiger.model import Tiger

SHORT = {"popular": 5, "candidates": 24, "beam": 2, "rounds": 4, "looks": 8}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Returns the folder of a tiny encoder."""
    return str(tiny_bert(tmp_path_factory.mktemp("encoder")))


class TestCollide(TextAttackTests):
    attack = Collide
    promotes_only = True
    settings = {**SHORT}

    @pytest.fixture(autouse=True)
    def _tiny(self, weights):
        self.settings["weights"] = weights


@pytest.fixture(scope="module")
def attack(weights):
    return Collide.make(**SHORT, weights=weights)


def test_its_codes_are_those_of_the_victim(attack, weights):
    data, _ = readers()
    model, _ = fitted(Tiger.make(dim=8, heads=2, epochs=1, weights=weights), data)
    codes = attack.codes_of(data.catalogue)
    np.testing.assert_array_equal(codes.codes, model.item_codes()[0].codes[:, :3])


def test_a_collision_is_compared_code_by_code(attack):
    data, _ = readers()
    codes = attack.codes_of(data.catalogue)
    items, rows = data.catalogue.items, codes.codes.tolist()
    shared = [
        next((level for level in range(3) if rows[3][level] != rows[other][level]), 3) for other in range(len(items))
    ]
    for goal in range(len(items)):
        (one,) = codes.compare(items[3], [items[3].title], [goal])
        assert one.shared == shared[goal]
        assert one.codes == tuple(rows[3])
        assert (abs(one.gap) < 1e-6) is (one.shared == 3)
        assert one.gap > -1e-6
    goals = [goal for goal in range(len(items)) if goal != 3]
    (best,) = codes.compare(items[3], [items[3].title], goals)
    assert best.shared == max(shared[goal] for goal in goals)


def test_new_titles_share_more_codes_with_a_popular_item_than_the_genuine_ones(attack):
    oracle = title_oracle(attack, 2.0)
    codes, counts = attack.codes_of(oracle.catalogue), oracle.counts
    proposals = []
    evaluate = oracle.evaluate
    oracle.evaluate = lambda titles: proposals.append(list(titles)) or evaluate(titles)
    list(attack.rewrite(oracle, Rng(0)))
    assert len(proposals) == 1 + SHORT["looks"] * SHORT["rounds"], "the genuine titles, and so many looks per step"
    popular = np.argsort(-counts, kind="stable")[: SHORT["popular"]].tolist()
    for index, row in enumerate(oracle.items.tolist()):
        item, goals = oracle.catalogue.items[row], [goal for goal in popular if goal != row]
        before, *after = codes.compare(item, [titles[index] for titles in proposals], goals)
        assert before.shared < 3
        assert max(one.shared for one in after) == 3, "with twice its words to change, a title can share all codes"
        assert after[0].order == min(one.order for one in after[: SHORT["looks"]])


def test_edits_are_all_titles_one_word_away():
    titles = set(edits("red moon", ["a", "b"]))
    assert titles == {
        *("moon", "red"),
        *("a moon", "b moon", "red a", "red b"),
        *("a red moon", "b red moon", "red a moon", "red b moon", "red moon a", "red moon b"),
    }
    assert all(edits_between("red moon", title, "words") == 1 for title in titles)
    assert set(edits("red", [])) == set()


def test_a_title_takes_in_the_first_words_of_another_one():
    assert [*mixed("red moon", ["a", "b", "c"], 2)] == ["a b", "a b", "a b red moon"]
    assert [*mixed("red moon", ["a", "b", "c"], 1)] == ["a moon", "a red moon"]
    assert [*mixed("red moon", ["a"], 2)] == ["a", "a moon", "a red moon"]


def test_nothing_is_proposed_without_budget(attack):
    assert list(attack.rewrite(title_oracle(attack, 0.0), Rng(0))) == []


def test_the_settings_of_the_codes_change_the_codes(attack, weights):
    data, _ = readers()
    other = Collide.make(**SHORT, weights=weights, codes=2).codes_of(data.catalogue)
    assert int(other.codes.max()) == 1
    assert int(attack.codes_of(data.catalogue).codes.max()) > 1
