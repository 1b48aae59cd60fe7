"""Conformance tests for attacks on the surface ``text``."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError
from torch import Tensor

from robench.api.attacks.text import TextAttack, TextOracle, edits_allowed, edits_between, item_text, printable
from robench.api.data import IntArray
from robench.api.rng import Rng
from robench.engine.attack.measurement import Measurement
from robench.engine.surfaces.text import likelihood, similarity
from robench.engine.surfaces.text.goal import HeldOutGoal, PromotionGoal
from robench.engine.surfaces.text.oracle import TitleOracle
from robench.engine.surfaces.text.reader import TextReader
from robench.testing.conformance import Conformance
from robench.testing.text_world import ReferenceText, promoted, text_victim

EPSILONS = (0.01, 1 / 3, 0.67, 1.7)
FLOOR_SPREAD = 0.5  # the share of the rise in exposure by which two random attacks may differ


class _RandomTitles(TextAttack):
    """An attack with random edits that spend the full budget, for comparison."""

    draws: ClassVar[int] = 1

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        words = sorted({word for item in oracle.catalogue.items for word in item.title.split()})
        blank, pool = (" ", words) if oracle.unit == "words" else ("", list(string.ascii_lowercase))
        for draw in range(self.draws):
            generator, rewritten = rng.child("anything", draw).numpy(), []
            for title, limit in zip(oracle.titles(), oracle.budget(), strict=True):
                parts = title.split() if blank else list(title)
                for _ in range(limit):
                    place, kind = int(generator.integers(len(parts) + 1)), int(generator.integers(3))
                    parts[place : place + (kind > 0)] = [] if kind == 1 else [str(generator.choice(pool))]
                rewritten.append(blank.join(parts))
            yield rewritten


class _Cheat(TextAttack):
    """An attack that proposes the titles of ``inner``, except for two invalid titles.

    One of these titles is over budget, and the other one contains a line feed.
    """

    inner: TextAttack

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        for titles in self.inner.rewrite(oracle, rng):
            yield [titles[0] + " more words and more of them again", titles[1] + "\n", *titles[2:]]


def title_oracle(attack: TextAttack, epsilon: float) -> TitleOracle:
    """Returns the host's oracle for an attack on the reference model.

    An attack that promotes may rewrite the titles of the three promoted items. An untargeted attack may rewrite all
    titles.
    """
    victim, c = text_victim(), attack.config
    assert victim.catalogue is not None
    reader = TextReader(victim.model, victim.history, victim.chunks(), victim.catalogue, victim.draws())
    every_item = np.arange(victim.history.n_items)
    goal = PromotionGoal(promoted(), c.k) if c.goal == "promote" else HeldOutGoal(every_item, c.k)
    return TitleOracle(reader, goal, epsilon, c.unit)


class TextAttackTests(Conformance):
    """Tests a ``TextAttack``, which a subclass sets as ``attack``.

    The victim is a model that reads titles. Set ``promotes_only`` if the attack refuses the goal ``untargeted``. Tests
    of this goal are then skipped.
    """

    attack: ClassVar[type[TextAttack]]
    promotes_only: ClassVar[bool] = False

    def skip_unless_offered(self, goal: str) -> None:
        if not self.promotes_only or goal != "untargeted":
            return
        try:
            self.attack.make(**self.settings, goal=goal)
        except ValidationError:
            pytest.skip("it only promotes")
        pytest.fail("promotes_only = True, but its Config takes the goal untargeted: a suite would run it")

    def make(self, **more: Any) -> TextAttack:
        try:
            attack = self.attack.make(**{**self.settings, **more})
        except ValidationError as error:
            if more.get("goal") == "untargeted":
                pytest.fail(f"it refuses the goal untargeted: say promotes_only = True ({error})")
            raise
        assert isinstance(attack, TextAttack)
        return attack

    def measure(self, epsilon: float, **more: Any) -> Measurement:
        return text_victim().attacked(self.make(**more), epsilon, "text", promoted())

    @classmethod
    def measure_once(cls, epsilon: float, goal: str | None = None) -> Measurement:
        """Returns a measurement that is made once per process.

        By default, the goal is the attack's own goal.
        """
        return cls._measure_once(epsilon, goal or cls().make().config.goal)

    @classmethod
    @cache
    def _measure_once(cls, epsilon: float, goal: str) -> Measurement:
        return cls().measure(epsilon, goal=goal)

    @pytest.fixture(autouse=True)
    def no_similarity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leaves out the host's encoder and language model.

        They take longer than a small attack.
        """
        monkeypatch.setattr(similarity, "_encoder", lambda: None)
        monkeypatch.setattr(likelihood, "has_language_model", lambda: False)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    @pytest.mark.parametrize("goal", ["promote", "untargeted"])
    @pytest.mark.parametrize("epsilon", EPSILONS)
    def test_the_budget_holds_without_the_hosts_help(self, epsilon: float, goal: str) -> None:
        self.skip_unless_offered(goal)
        attack = self.make(goal=goal)
        oracle, proposals = title_oracle(attack, epsilon), 0
        for titles in attack.rewrite(oracle, Rng(0)):
            proposals += 1
            assert len(titles) == len(oracle.items)
            for old, new in zip(oracle.titles(), titles, strict=True):
                spent = edits_between(old, new, attack.config.unit)
                assert spent <= edits_allowed(old, epsilon, attack.config.unit), f"'{old}' became '{new}'"
                assert printable(new)
        assert proposals, "nothing was proposed"

    @pytest.mark.parametrize("goal", ["promote", "untargeted"])
    def test_nothing_is_done_at_epsilon_zero(self, goal: str) -> None:
        self.skip_unless_offered(goal)
        clean = text_victim().clean(promoted() if goal == "promote" else None).arrays
        attacked = self.measure_once(0.0, goal)
        for name, part in clean.items():
            np.testing.assert_array_equal(attacked.arrays[name], part)
        assert not attacked.titles
        assert not attacked.achieved["edits_max"]

    @pytest.mark.parametrize("goal", ["promote", "untargeted"])
    def test_the_same_seed_gives_the_same_result(self, goal: str) -> None:
        self.skip_unless_offered(goal)
        first, second = self.measure_once(0.67, goal), self.measure(0.67, goal=goal)
        assert first.titles == second.titles
        for name, part in first.arrays.items():
            np.testing.assert_array_equal(part, second.arrays[name])

    def test_it_promotes(self) -> None:
        attacked = self.measure_once(0.67)
        before, after = text_victim().clean(promoted()).arrays["target_ranks"], attacked.arrays["target_ranks"]
        np.testing.assert_array_equal(after > 0, before > 0)
        assert exposure(after) > exposure(before), "the promoted items are in no more lists than with genuine titles"
        assert attacked.diagnostics["loss_attacked"] > attacked.diagnostics["loss_clean"]

    def test_held_out_items_fall_where_it_is_untargeted(self) -> None:
        self.skip_unless_offered("untargeted")
        before = text_victim().clean(None).arrays["ranks"]
        after = self.measure_once(0.67, "untargeted").arrays["ranks"]
        assert exposure(after) < exposure(before), "held-out items are in as many lists as with genuine titles"

    def test_it_beats_random_rewriting_with_as_many_evaluations(self) -> None:
        attacked = self.measure_once(1.0)
        floor = _RandomTitles.make(unit=self.make().config.unit)
        floor.draws = math.ceil(attacked.achieved["queries"] / len(attacked.arrays["users"]))
        random = text_victim().attacked(floor, 1.0, "floor", promoted())
        loss, random_loss = (part.diagnostics["loss_attacked"] for part in (attacked, random))
        share, clean, random_share = (
            exposure(part.arrays["target_ranks"]) for part in (attacked, text_victim().clean(promoted()), random)
        )
        if self.attack.heuristic_floor:
            spread = FLOOR_SPREAD * (random_share - clean)
            assert abs(share - random_share) <= spread, "a floor does what chance does"
        else:
            assert loss >= random_loss
        if self.attack.gradient:
            assert loss > random_loss
            assert share > random_share

    def test_a_larger_budget_is_never_weaker(self) -> None:
        if self.attack.heuristic_floor:
            pytest.skip("a matter of chance")
        curve = [self.measure_once(epsilon) for epsilon in (0.0, 0.34, 0.67, 1.0)]
        # The host compares titles by exposure first, then by loss.
        gains = [(round(exposure(part.arrays["target_ranks"]), 9), part.diagnostics["loss_attacked"]) for part in curve]
        assert gains == sorted(gains), "a larger budget gained less"

    def test_the_numbers_are_the_hosts(self) -> None:
        victim, attacked, unit = text_victim(), self.measure_once(0.67), self.make().config.unit
        assert victim.catalogue is not None
        new = {row["row"]: replace(victim.catalogue.items[row["row"]], title=row["after"]) for row in attacked.titles}
        scores = victim.model.rewritten(new).scores(victim.users, victim.history)
        for number, target in enumerate(promoted().tolist()):
            for place, user in enumerate(victim.users.tolist()):
                known = set(victim.history.row(user).tolist())
                own = known | set(victim.held.row(user).tolist())
                ahead = [
                    i for i in range(scores.shape[1]) if i not in known and scores[place, i] > scores[place, target]
                ]
                rank = 0 if target in own else 1 + len(ahead)
                assert attacked.arrays["target_ranks"][number, place] == rank
        for row in attacked.titles:
            old = victim.catalogue.items[row["row"]].title
            assert row["before"] == old
            assert row["edits"] == edits_between(old, row["after"], unit) > 0

    def test_more_than_is_allowed_is_undone_and_told(self) -> None:
        cheat = _Cheat(self.make().config)
        cheat.inner = self.make()
        attacked, items = text_victim().attacked(cheat, 0.67, "cheat", promoted()), promoted()
        assert attacked.achieved["overshoot"] > 1
        allowed = set(items[2:].tolist())
        assert {row["row"] for row in attacked.titles} <= allowed, "the host applied a title that is not allowed"

    def test_titles_change_and_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        catalogue, texts_read = text_victim().catalogue, list[str]()
        assert catalogue is not None
        encoded = ReferenceText.encoded

        def note(model: ReferenceText, texts: Sequence[str]) -> Tensor:
            texts_read.extend(texts)
            return encoded(model, texts)

        monkeypatch.setattr(ReferenceText, "encoded", note)
        attacked = self.measure(0.67)
        tails = [item_text(replace(catalogue.items[row], title="")) for row in promoted().tolist()]
        assert texts_read
        assert all(any(text.endswith(tail) for tail in tails) for text in texts_read), "another item's text was read"
        assert not set(texts_read) & {item_text(item) for item in catalogue.items}, "a genuine text was read again"
        assert {row["row"] for row in attacked.titles} <= set(promoted().tolist())


def exposure(ranks: IntArray) -> float:
    """Returns the sum of 1 / log2(1 + rank) over the ranks from 1 to 10."""
    within = ranks[(ranks > 0) & (ranks <= 10)]
    return float((1 / np.log2(1 + within)).sum())
