"""What every attack on the surface ``text`` must pass."""

from __future__ import annotations

import math
import string
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from robench.api.attacks.text import TextAttack, TextOracle, edits_allowed, edits_between, item_text, printable
from robench.api.rng import Rng
from robench.engine.attack.arena import Measurement
from robench.engine.surfaces.text.oracle import TitleOracle
from robench.engine.surfaces.text.reader import HeldOutGoal, PromotionGoal, Reader
from robench.testing.text_world import ReferenceText, promoted, text_victim

EPSILONS = (0.01, 0.2, 0.25, 1 / 3, 0.5, 0.67, 1.0, 1.7)
FLOOR_SPREAD = 0.5  # share of the random rise in exposure by which two random attacks may differ


class _Anything(TextAttack):
    """Random edits, for comparison."""

    draws: ClassVar[int] = 1

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        words = sorted({word for item in oracle.catalogue.items for word in item.title.split()})
        blank, pool = (" ", words) if oracle.unit == "words" else ("", list(string.ascii_lowercase))
        for draw in range(self.draws):
            generator, found = rng.child("anything", draw).numpy(), []
            for title, limit in zip(oracle.titles(), oracle.budget(), strict=True):
                parts = title.split() if blank else list(title)
                for _ in range(limit):
                    place, kind = int(generator.integers(len(parts) + 1)), int(generator.integers(3))
                    parts[place : place + (kind > 0)] = [] if kind == 1 else [str(generator.choice(pool))]
                found.append(blank.join(parts))
            yield found


class _Greedy(TextAttack):
    """Proposes what another attack does, with more for the first item than there is, and a line feed for the second."""

    inner: ClassVar[TextAttack]

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        for titles in self.inner.rewrite(oracle, rng):
            yield [titles[0] + " more words and more of them again", titles[1] + "\n", *titles[2:]]


def host(attack: TextAttack, epsilon: float) -> TitleOracle:
    """What the attack is asked against: the reference model, three of its items promoted, or all of them."""
    bench, c = text_victim(), attack.config
    assert bench.catalogue is not None
    reader = Reader(bench.model, bench.history, bench.chunks(), bench.catalogue, bench.draws())
    everything = np.arange(bench.history.n_items)
    goal = PromotionGoal(promoted(), c.k) if c.goal == "promote" else HeldOutGoal(everything, c.k)
    return TitleOracle(reader, goal, epsilon, c.unit)


class TextAttackTests:
    """Subclass with ``attack = Mine``; ``settings`` make it fast. Run against a model whose scores come from words.

    ``promotes_only``: the attack refuses the goal ``untargeted``, which is then not asked of it.
    """

    attack: ClassVar[type[TextAttack]]
    settings: ClassVar[dict[str, Any]] = {}
    promotes_only: ClassVar[bool] = False

    def can(self, goal: str) -> None:
        if not self.promotes_only or goal != "untargeted":
            return
        try:
            self.attack.make(**self.settings, goal=goal)
        except ValidationError:
            pytest.skip("it only promotes")
        pytest.fail("promotes_only = True, but its Config takes the goal untargeted: a suite would run it")

    def made(self, **more: Any) -> TextAttack:
        try:
            found = self.attack.make(**{**self.settings, **more})
        except ValidationError as error:
            if more.get("goal") == "untargeted":
                pytest.fail(f"it refuses the goal untargeted: say promotes_only = True ({error})")
            raise
        assert isinstance(found, TextAttack)
        return found

    def measure(self, epsilon: float, **more: Any) -> Measurement:
        return text_victim().attacked(self.made(**more), epsilon, "text", promoted())

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    @pytest.mark.parametrize("goal", ["promote", "untargeted"])
    @pytest.mark.parametrize("epsilon", EPSILONS)
    def test_the_budget_holds_without_the_hosts_help(self, epsilon: float, goal: str) -> None:
        self.can(goal)
        attack = self.made(goal=goal)
        oracle, proposed = host(attack, epsilon), 0
        for titles in attack.rewrite(oracle, Rng(0)):
            proposed += 1
            assert len(titles) == len(oracle.items)
            for old, new in zip(oracle.titles(), titles, strict=True):
                spent = edits_between(old, new, attack.config.unit)
                assert spent <= edits_allowed(old, epsilon, attack.config.unit), f"'{old}' became '{new}'"
                assert printable(new)
        assert proposed, "nothing was proposed"

    @pytest.mark.parametrize("goal", ["promote", "untargeted"])
    def test_nothing_is_done_at_epsilon_zero(self, goal: str) -> None:
        self.can(goal)
        clean = text_victim().clean(promoted() if goal == "promote" else None).arrays
        found = self.measure(0.0, goal=goal)
        for name, part in clean.items():
            np.testing.assert_array_equal(found.arrays[name], part)
        assert not found.titles
        assert not found.achieved["edits_max"]

    @pytest.mark.parametrize("goal", ["promote", "untargeted"])
    def test_the_same_seed_gives_the_same_result(self, goal: str) -> None:
        self.can(goal)
        one, two = (self.measure(0.67, goal=goal) for _ in range(2))
        assert one.titles == two.titles
        for name, part in one.arrays.items():
            np.testing.assert_array_equal(part, two.arrays[name])

    def test_it_promotes(self) -> None:
        bench, found = text_victim(), self.measure(0.67)
        before, after = bench.clean(promoted()).arrays["target_ranks"], found.arrays["target_ranks"]
        np.testing.assert_array_equal(after > 0, before > 0)
        assert exposure(after) > exposure(before), "the promoted items are in no more lists than with genuine titles"
        assert found.diagnostics["loss_attacked"] > found.diagnostics["loss_clean"]

    def test_held_out_items_fall_where_it_is_untargeted(self) -> None:
        self.can("untargeted")
        before = text_victim().clean(None).arrays["ranks"]
        after = self.measure(0.67, goal="untargeted").arrays["ranks"]
        assert exposure(after) < exposure(before), "held-out items are in as many lists as with genuine titles"

    def test_it_beats_random_rewriting_with_as_many_evaluations(self) -> None:
        found = self.measure(1.0)
        floor = _Anything.make(unit=self.made().config.unit)
        floor.draws = math.ceil(found.achieved["queries"] / len(found.arrays["users"]))
        random = text_victim().attacked(floor, 1.0, "floor", promoted())
        mine, chance = (part.diagnostics["loss_attacked"] for part in (found, random))
        lists, clean, by_chance = (
            exposure(part.arrays["target_ranks"]) for part in (found, text_victim().clean(promoted()), random)
        )
        if self.attack.heuristic_floor:
            assert abs(lists - by_chance) <= FLOOR_SPREAD * (by_chance - clean), "a floor does what chance does"
        else:
            assert mine >= chance
        if self.attack.gradient:
            assert mine > chance
            assert lists > by_chance

    def test_a_larger_budget_is_never_weaker(self) -> None:
        if self.attack.heuristic_floor:
            pytest.skip("a matter of chance")
        found = [self.measure(epsilon) for epsilon in (0, 0.34, 0.67, 1.0)]
        gains = [(round(exposure(part.arrays["target_ranks"]), 9), part.diagnostics["loss_attacked"]) for part in found]
        assert gains == sorted(gains), "lists first, then the loss: so the host compares titles"

    def test_the_numbers_are_the_hosts(self) -> None:
        bench, found, attack = text_victim(), self.measure(0.67), self.made()
        assert bench.catalogue is not None
        new = {row["row"]: replace(bench.catalogue.items[row["row"]], title=row["after"]) for row in found.titles}
        scores = bench.model.rewritten(new).scores(bench.users, bench.history)
        for number, target in enumerate(promoted().tolist()):
            for place, user in enumerate(bench.users.tolist()):
                known = set(bench.history.row(user).tolist())
                own = known | set(bench.held.row(user).tolist())
                ahead = [
                    i for i in range(scores.shape[1]) if i not in known and scores[place, i] > scores[place, target]
                ]
                rank = 0 if target in own else 1 + len(ahead)
                assert found.arrays["target_ranks"][number, place] == rank
        for row in found.titles:
            old = bench.catalogue.items[row["row"]].title
            assert row["before"] == old
            assert row["edits"] == edits_between(old, row["after"], attack.config.unit) > 0

    def test_more_than_is_allowed_is_undone_and_told(self) -> None:
        cheat = _Greedy(self.made().config)
        cheat.inner = self.made()  # type: ignore[misc]
        found, items = text_victim().attacked(cheat, 0.67, "cheat", promoted()), promoted()
        assert found.achieved["overshoot"] > 1
        assert {row["row"] for row in found.titles} <= set(items[2:].tolist()), "what is not allowed was applied"

    def test_titles_change_and_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        catalogue, read = text_victim().catalogue, list[str]()
        assert catalogue is not None
        encoded = ReferenceText.encoded

        def spied(model: ReferenceText, texts: Sequence[str]) -> Any:
            read.extend(texts)
            return encoded(model, texts)

        monkeypatch.setattr(ReferenceText, "encoded", spied)
        found = self.measure(0.67)
        tails = [item_text(replace(catalogue.items[row], title="")) for row in promoted().tolist()]
        assert read
        assert all(any(text.endswith(tail) for tail in tails) for text in read), "another item's text was read"
        assert not set(read) & {item_text(item) for item in catalogue.items}, "a genuine text was read again"
        assert {row["row"] for row in found.titles} <= set(promoted().tolist())


def exposure(ranks: Any) -> float:
    """Σ 1 / log2(1 + rank) within the top 10."""
    within = np.asarray(ranks)[(np.asarray(ranks) > 0) & (np.asarray(ranks) <= 10)]
    return float((1 / np.log2(1 + within)).sum())
