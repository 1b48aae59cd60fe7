"""Measures what the lists or the scores of a victim say about its training data."""

from __future__ import annotations

import numpy as np

from robench.api.attacks.base import Attack
from robench.api.attacks.membership import MembershipAttack, SeenUsers
from robench.api.data import FloatArray, IntArray, Interactions, joined
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.rng import Rng
from robench.engine.attack.measurement import Measurement
from robench.engine.attack.surface import VictimSurface
from robench.engine.rank.chunk import Scores, check_scores, split_users
from robench.engine.surfaces.membership.groups import draw_groups
from robench.store.membership import measure_membership


class MembershipSurface(VictimSurface):
    """The lists and scores that a victim gives to members and non-members."""

    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Runs a membership attack and measures how well it tells members apart.

        The arrays are those of the clean cell, ``member_users`` (the tested users), ``is_member``, and
        ``membership_score``.
        """
        assert isinstance(attack, MembershipAttack)
        victim, refit = self.victim, self.victim.refit
        if refit is None:
            raise PluginError("a membership attack needs the training data of the victim")
        train, n = refit.data.train, victim.history.n_users
        train = train.rows_in(np.arange(n))
        whole = joined(victim.history, victim.held)
        groups = draw_groups(train, victim.history, victim.held)
        rng = victim.rng.child("membership")
        attack.prepare(whole.rows_in(groups.further), rng.child("prepare"))
        inside = np.isin(np.arange(n), groups.shadow)
        shadow = refit.fit(whole.without_users(~inside), rng.child("shadow"))
        learned = self._features(attack, shadow, whole, (groups.shadow, groups.outside), rng.child("ask", "shadow"))
        del shadow
        tested = groups.members, groups.non_members
        seen = self._features(attack, victim.model, whole, tested, rng.child("ask", "victim"))
        known = np.repeat([True, False], [len(groups.shadow), len(groups.outside)])
        scores = _checked(attack.infer(learned, known, seen, rng.child("infer")), len(seen))
        own = _checked(attack.infer(learned, known, learned, rng.child("infer")), len(learned))
        member = np.repeat([True, False], [len(part) for part in tested])
        membership = measure_membership(scores, member)
        membership["shadow_auroc"] = measure_membership(own, known)["auroc"]
        arrays = victim.outcome(victim.model, None) | {
            "member_users": np.concatenate(tested),
            "is_member": member.astype(np.int8),
            "membership_score": scores,
        }
        return Measurement(arrays, diagnostics={"stochastic": victim.noise()}, membership=membership)

    def _features(
        self, attack: MembershipAttack, model: Model, whole: Interactions, groups: tuple[IntArray, IntArray], rng: Rng
    ) -> FloatArray:
        """Returns the features of members and non-members, float64 [n, f].

        Args:
            attack: the attack.
            model: the victim, or the shadow.
            whole: all interactions of each user.
            groups: the members and the non-members, int64 each.
            rng: the stream for a model that draws random numbers.
        """
        parts = []
        for group, users in enumerate(groups):
            for number, some in enumerate(split_users(users, self.victim.chunk_size())):
                histories = whole.rows_in(some)
                with rng.child(group, number).stream():
                    if group == 0:
                        raw = model.scores(some, whole)
                    elif attack.config.non_members == "popular":
                        raw = model.newcomers(histories.without_users(np.ones(len(some), dtype=bool)))
                    else:
                        raw = model.newcomers(histories)
                scores = np.asarray(check_scores(raw, len(some), whole.n_items))
                seen = SeenUsers(
                    histories,
                    list_items(scores, histories, attack.config.k),
                    scores if attack.sees == "scores" else None,
                )
                parts.append(attack.features(seen))
        return np.concatenate(parts)


def list_items(scores: Scores, histories: Interactions, k: int) -> IntArray:
    """Returns the k best items of each user without the user's own, int64 [n, k].

    Of equal scores, the smaller item comes first. Places that the catalogue cannot fill are −1.
    """
    masked = scores.astype(np.float64)
    masked[histories.users(), histories.items] = -np.inf
    order = np.argsort(-masked, axis=1, kind="stable")[:, :k].astype(np.int64)
    order[np.isneginf(np.take_along_axis(masked, order, axis=1))] = -1
    missing = k - order.shape[1]
    return np.pad(order, ((0, 0), (0, missing)), constant_values=-1) if missing > 0 else order


def _checked(scores: FloatArray, n: int) -> FloatArray:
    """Returns the scores of an attack after checking them.

    Raises:
        PluginError: if there is not one finite number per user.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise PluginError(f"infer() must return one finite number for each of the {n} users")
    return values
