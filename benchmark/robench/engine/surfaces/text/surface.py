"""Measures a victim under rewritten titles of items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble, Member
from robench.api.data import IntArray
from robench.api.errors import PluginError
from robench.api.title_rules import TitleRules
from robench.engine.attack.costs import Costs
from robench.engine.attack.ensemble import MemberLog, members_of
from robench.engine.attack.measurement import Measurement, achieved_budget, diagnostics_of
from robench.engine.attack.surface import VictimSurface
from robench.engine.attack.trained import title_share_ignored
from robench.engine.surfaces.text.goal import HeldOutGoal, PromotionGoal, TitleGoal
from robench.engine.surfaces.text.likelihood import filter_reach, title_likelihood
from robench.engine.surfaces.text.oracle import TitleOracle
from robench.engine.surfaces.text.reader import TextReader
from robench.engine.surfaces.text.search import search_members, search_titles
from robench.engine.surfaces.text.similarity import title_similarity
from robench.engine.surfaces.text.spelling import spelling_similarity
from robench.engine.surfaces.text.stealth import Stealth


class TextSurface(VictimSurface):
    """The titles of items that one victim reads, as an attack surface."""

    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Runs an attack at ε and measures the victim with the worst titles.

        All users see the same titles.
        """
        oracle, victim = self.oracle(attack, epsilon, targets), self.victim
        rules = attack.threat().title_rules or TitleRules()
        log = MemberLog(self.members(attack)) if isinstance(attack, Ensemble) else None
        rng = victim.rng
        worst = search_titles(attack, oracle, rng) if log is None else search_members(log, oracle, rng)
        self._check_again(oracle, worst.titles, rules)
        arrays = victim.outcome(oracle.reader.victim(oracle.by_row(worst.titles)), targets)
        arrays |= {"clean_loss": oracle.judge(oracle.titles()).loss.numpy(), "loss": worst.loss.numpy()}
        rows = worst.rows(oracle)
        achieved = oracle.allowed.achieved(worst.titles)
        achieved |= {f"similarity_{how}": value for how, value in title_similarity(rows).items()}
        achieved |= filter_reach(rows, oracle.catalogue)
        achieved |= achieved_budget({}, oracle.costs)
        achieved |= {} if oracle.stealth is None else {"checks": oracle.costs.checks}
        diagnostics = diagnostics_of(arrays, oracle.diagnosis) | {"stochastic": victim.noise()}
        diagnostics |= victim.candidate_diagnostics(arrays, targets) | title_share_ignored(victim)
        return Measurement(arrays, achieved, diagnostics, [] if log is None else log.rows(arrays), rows)

    def oracle(self, attack: Attack, epsilon: float, targets: IntArray | None) -> TitleOracle:
        """Returns the oracle for an attack at ε.

        If items are promoted, only the titles of these items may change. Otherwise, all titles may change.

        Raises:
            PluginError: if the catalogue is not known, or if no item that may change has a title.
        """
        victim, threat = self.victim, attack.threat()
        rules = threat.title_rules or TitleRules()
        if victim.catalogue is None:
            raise PluginError("the items whose titles the attack would rewrite are not known")
        everything = np.arange(victim.history.n_items)
        goal: TitleGoal = HeldOutGoal(everything, threat.k) if targets is None else PromotionGoal(targets, threat.k)
        reader = TextReader(
            victim.model, victim.history, victim.chunks(), victim.catalogue, victim.draws(), victim.read
        )
        stealth = None if rules.stealth is None else self._stealth(goal.items, rules.stealth)
        oracle = TitleOracle(reader, goal, epsilon, rules.unit, stealth=stealth)
        if not any(oracle.titles()):
            raise PluginError("none of the items has a title that could be rewritten")
        return oracle

    def _stealth(self, items: IntArray, floor: float) -> Stealth:
        """Returns the rules for the titles of some items (int64 [A])."""
        catalogue = self.victim.catalogue
        assert catalogue is not None
        genuine = [catalogue.items[row].title for row in items.tolist()]
        return Stealth.of(catalogue, genuine, floor, spelling_similarity, title_likelihood)

    def _check_again(self, oracle: TitleOracle, titles: Sequence[str], rules: TitleRules) -> None:
        """Checks the final titles with rules that the attack has not seen.

        Raises:
            PluginError: if a title breaks the budget or a rule. In this case, the attack has changed the host's rules.
        """
        if rules.stealth is not None:
            fresh = replace(oracle, stealth=self._stealth(oracle.items, rules.stealth))
            if fresh.allowed.enforce(titles, Costs()) != list(titles):
                raise PluginError("the attack has changed the rules by which the host refuses titles")

    def members(self, ensemble: Ensemble) -> list[Member]:
        """Returns the members of an ensemble that can attack this victim's titles."""
        model = self.victim.model
        gradients = ensemble.threat().goal in model.token_goals
        stochastic = self.victim.draws().stochastic
        return members_of(ensemble, gradients=gradients, stochastic=stochastic, follows=model.follows)
