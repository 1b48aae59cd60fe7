"""Tests that an attack without ``yield`` gets a clear error on each surface."""

import pytest

from robench.api import EmbeddingAttack, HistoryAttack, PluginError, TextAttack
from robench.testing.text_world import promoted, text_victim
from robench.testing.worlds import reference_victim


class Silent(EmbeddingAttack):
    """An attack that computes a δ and returns nothing."""

    def perturb(self, oracle, ball, rng):
        oracle.zero()


class SilentOnTables(Silent):
    """The same attack on the tables."""

    surface = "parameters"


class Edited(HistoryAttack):
    """An attack that returns a number."""

    def rewrite(self, oracle, rng):
        return 3


class Rewritten(TextAttack):
    """An attack that forgets its result."""

    def rewrite(self, oracle, rng):
        oracle.titles()


@pytest.mark.parametrize(
    ("attack", "given"),
    [
        (Silent, "Silent returned nothing"),
        (SilentOnTables, "SilentOnTables returned nothing"),
        (Edited, "Edited returned a int"),
        (Rewritten, "Rewritten returned nothing"),
    ],
)
def test_an_attack_that_does_not_yield_is_told_so(attack, given):
    text = issubclass(attack, TextAttack)
    bench, targets = (text_victim(), promoted()) if text else (reference_victim("sequence"), None)
    with pytest.raises(PluginError, match=rf"{given}, not its candidates in turn \(does it use yield\?\)"):
        bench.attacked(attack.make(), 1.0, "silent", targets)
