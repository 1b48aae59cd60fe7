"""Measures what the lists or the scores of a victim say about its training data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
        n = victim.history.n_users
        whole = ordered(joined(victim.history, victim.held))
        groups = draw_groups(refit.data.train.rows_in(np.arange(n)), victim.history, victim.held)
        rng, order = victim.rng.child("membership"), Rng(0).child("membership-order", whole.sha256())
        attack.prepare(whole.rows_in(groups.further), rng.child("prepare"))
        inside = np.isin(np.arange(n), groups.shadow)
        shadow = refit.fit(whole.without_users(~inside), rng.child("shadow"))
        known = groups.shadow, groups.outside
        learned = self._features(attack, shadow, whole, known, rng.child("ask", "shadow"), order.child("shadow"))
        del shadow
        tested = groups.members, groups.non_members
        seen = self._features(attack, victim.model, whole, tested, rng.child("ask", "victim"), order.child("victim"))
        labels = np.repeat([True, False], [len(part) for part in known])
        places = order.child("infer").numpy().permutation(len(seen))
        scores = np.empty(len(seen))
        scores[places] = _checked(attack.infer(learned, labels, seen[places], rng.child("infer")), len(seen))
        own = _checked(attack.infer(learned, labels, learned, rng.child("infer")), len(learned))
        member = np.repeat([True, False], [len(part) for part in tested])
        membership = measure_membership(scores, member)
        membership["shadow_auroc"] = measure_membership(own, labels)["auroc"]
        arrays = victim.outcome(victim.model, None) | {
            "member_users": np.concatenate(tested),
            "is_member": member.astype(np.int8),
            "membership_score": scores,
        }
        return Measurement(arrays, diagnostics={"stochastic": victim.noise()}, membership=membership)

    def _features(
        self,
        attack: MembershipAttack,
        model: Model,
        whole: Interactions,
        groups: tuple[IntArray, IntArray],
        rng: Rng,
        order: Rng,
    ) -> FloatArray:
        """Returns the features of members and of non-members, float64 [n, f].

        The attack gets the users of both groups mixed, so neither their order nor their chunk says who is a member.

        Args:
            attack: the attack.
            model: the victim, or the shadow.
            whole: all interactions of each user.
            groups: the members and the non-members, int64 each.
            rng: the stream for a model that draws random numbers.
            order: the stream for the order of the users, which the attack cannot draw again.
        """
        users, member = np.concatenate(groups), np.repeat([True, False], [len(part) for part in groups])
        places = order.numpy().permutation(len(users))
        parts = []
        for number, some in enumerate(split_users(places, self.victim.chunk_size())):
            histories = whole.rows_in(users[some])
            with rng.child(number).stream():
                scores = self._ask(attack, model, whole, users[some], member[some])
            lists = list_items(scores, histories, attack.config.k)
            parts.append(attack.features(SeenUsers(histories, lists, scores if attack.sees == "scores" else None)))
        features = np.concatenate(parts)
        if len(features) != len(users):
            raise PluginError(f"features() must return one row for each of the {len(users)} users")
        return features[np.argsort(places)]

    def _ask(
        self, attack: MembershipAttack, model: Model, whole: Interactions, users: IntArray, member: NDArray[np.bool_]
    ) -> Scores:
        """Returns the scores of the whole catalogue for some users, float32 [n, n_items].

        Args:
            attack: the attack, which says what the model knows of a non-member.
            model: the victim, or the shadow.
            whole: all interactions of each user.
            users: the users, int64 [n].
            member: whether each user is a member, bool [n].
        """
        scores = np.empty((len(users), whole.n_items), dtype=np.float32)
        inside, outside = np.flatnonzero(member), np.flatnonzero(~member)
        inside = inside[np.argsort(users[inside])]
        if len(inside):
            scores[inside] = check_scores(model.scores(users[inside], whole), len(inside), whole.n_items)
        if len(outside):
            rows = whole.rows_in(users[outside])
            if attack.config.non_members == "popular":
                rows = rows.without_users(np.ones(len(outside), dtype=bool))
            scores[outside] = check_scores(model.newcomers(rows), len(outside), whole.n_items)
        return scores


def ordered(rows: Interactions) -> Interactions:
    """Returns the interactions of each user by time, and at the same time by item.

    The held-out items of a cold user would otherwise come last, which says that this user is no member.
    """
    order = np.lexsort((rows.items, rows.times, rows.users()))
    return Interactions(rows.indptr, rows.items[order], rows.times[order], rows.n_items)


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
