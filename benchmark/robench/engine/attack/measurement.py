"""Computes the arrays, the spent budget and the diagnostics that a cell stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.attacks.base import Kind
from robench.api.data import IntArray
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.goal import Goal
from robench.engine.rank.chunk import EvaluationChunk, count_candidates
from robench.engine.rank.ranking import Ranking
from robench.engine.rank.scoring import rank_scores

CellArrays = dict[str, NDArray[Any]]
DISTANCES = ("l2", "linf", "edits")  # arrays of distances per user; the record holds the maximum and the mean of each


class MemberOutcome(TypedDict):
    """The record's entry for one member of an ensemble.

    If each user has a separate perturbation, ``first_breaks`` is present. If one perturbation serves all users,
    ``damage`` is present instead.
    """

    name: str
    kind: Kind
    everyone: bool
    steps: int | None
    users: int
    queries: int
    gradients: int
    first_breaks: NotRequired[int]
    damage: NotRequired[float | None]


class TitleChange(TypedDict):
    """One rewritten title, for the record.

    ``similarity`` is present only if a sentence encoder is installed. The likelihoods are the mean log-likelihoods per
    token under a language model, in nats. They are present only if the language model is installed.
    """

    item: str
    row: int
    before: str
    after: str
    edits: int
    similarity: NotRequired[float]
    likelihood_before: NotRequired[float]
    likelihood_after: NotRequired[float]


@dataclass
class Measurement:
    """Everything that the measurement of one cell yields.

    Args:
        arrays: the arrays for the npz file, by name.
        achieved: the spent budget and the costs of the attack, by name.
        diagnostics: the numbers from which flags are computed, by name.
        members: one entry per member of an ensemble.
        titles: one entry per rewritten title.
        checks: the results of the victim's checks, by name, or an empty dict if the surface needs no checks.
        detection: the quality of the defence's suspicion scores, by name, or an empty dict if there are none. See
            ``measure_detection``.
        certificate: the plain and certified values of lists by votes, by name, or an empty dict if there are no votes.
            See ``measure_certificate``.
        membership: how well an attack tells members from non-members, by name, or an empty dict. See
            ``measure_membership``.
    """

    arrays: CellArrays
    achieved: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    members: list[MemberOutcome] = field(default_factory=list)
    titles: list[TitleChange] = field(default_factory=list)
    checks: dict[str, float] = field(default_factory=dict)
    detection: dict[str, float | None] = field(default_factory=dict)
    certificate: dict[str, float | None] = field(default_factory=dict)
    membership: dict[str, float | None] = field(default_factory=dict)


def achieved_budget(arrays: CellArrays, costs: Costs) -> dict[str, float]:
    """Returns the spent budget and the costs of the attack, by name."""
    achieved: dict[str, float] = {}
    if "spent" in arrays:
        achieved |= {"epsilon": float(arrays["spent"].max()), "epsilon_mean": float(arrays["spent"].mean())}
    for name in DISTANCES:
        if name in arrays:
            achieved |= {f"{name}_{how}": float(getattr(arrays[name], how)()) for how in ("max", "mean")}
    return achieved | {"queries": costs.queries, "gradients": costs.gradients, "overshoot": costs.overshoot}


def diagnostics_of(arrays: CellArrays, diagnosis: Diagnosis) -> dict[str, float]:
    """Returns the mean losses and the numbers about diagnosed gradients, by name."""
    judged = max(1, diagnosis.judged)
    return {
        "loss_clean": float(arrays["clean_loss"].mean()),
        "loss_attacked": float(arrays["loss"].mean()),
        "gradients_judged": diagnosis.judged,
        "zero_gradient_share": diagnosis.zero / judged,
        "non_finite_share": diagnosis.non_finite / judged,
    }


def outcome_arrays(draws: Iterable[Tensor], chunk: EvaluationChunk, goal: Goal, targets: IntArray | None) -> CellArrays:
    """Returns the arrays that a cell stores for a chunk.

    Each user's arrays come from the scoring with the median damage.

    Args:
        draws: the masked scores of each scoring, float [B, n_items].
        chunk: the chunk of users.
        goal: the goal of these users.
        targets: the targets, for which ranks are also stored, int64 [T].
    """
    rankings, damages = [], []
    for scores in draws:
        rankings.append(rank_scores(scores, chunk, targets, masked=True))
        damages.append(goal.to(scores.device).damage(scores))
    return median_arrays(chunk, rankings, damages, scores.shape[1], targets)


def median_arrays(
    chunk: EvaluationChunk, rankings: list[Ranking], damages: list[Tensor], n_items: int, targets: IntArray | None
) -> CellArrays:
    """Returns the ranks, top lists and other arrays that a cell stores for a chunk.

    All arrays of a user come from the scoring with the median damage, so they are consistent. If two scorings are in
    the middle, the one with more damage is used.

    Args:
        chunk: the chunk of users.
        rankings: the ranking of each scoring.
        damages: the damage of each scoring, float64 [B].
        n_items: the number of items in the catalogue.
        targets: the targets, for which ranks are also stored, int64 [T].
    """
    ranking = rankings[0] if len(rankings) == 1 else median_ranking(rankings, damages)
    held = chunk.held.cpu().numpy() >= 0
    arrays: CellArrays = {
        "ranks": ranking.ranks.numpy()[held],
        "held_count": held.sum(1),
        "top": ranking.top,
        "candidates": count_candidates(chunk, n_items),
    }
    if ranking.pairs is not None:
        likes, dislikes = ranking.pairs
        arrays |= {"likes": likes[held], "dislikes": dislikes[held]}
    if targets is not None and len(targets):
        arrays["target_ranks"] = ranking.targets
    return arrays


def median_ranking(rankings: list[Ranking], damages: list[Tensor]) -> Ranking:
    """Returns each user's ranking in the scoring with the median damage.

    Args:
        rankings: the ranking of each scoring.
        damages: the damage of each scoring, float64 [B].
    """
    order = torch.stack(damages).argsort(dim=0, stable=True)[len(damages) // 2].cpu()
    user = torch.arange(len(order))
    draw, row = order.numpy(), user.numpy()
    pairs = [ranking.pairs for ranking in rankings if ranking.pairs is not None]
    return Ranking(
        torch.stack([ranking.ranks for ranking in rankings])[order, user],
        np.stack([ranking.top for ranking in rankings])[draw, row],
        np.stack([ranking.targets for ranking in rankings])[draw, :, row].T,
        np.stack(pairs)[draw, :, row].swapaxes(0, 1) if len(pairs) == len(rankings) else None,
    )


def join_chunks(parts: list[CellArrays], users: IntArray) -> CellArrays:
    """Concatenates the arrays of all chunks and adds ``indptr`` and ``users``.

    The array ``indptr``, int64 [users + 1], replaces ``held_count``. The ranks of user number i are
    ``ranks[indptr[i]:indptr[i + 1]]``.
    """
    arrays = {
        name: np.concatenate([part[name] for part in parts], axis=-1 if name == "target_ranks" else 0)
        for name in parts[0]
    }
    arrays["indptr"] = np.concatenate([[0], np.cumsum(arrays.pop("held_count"))]).astype(np.int64)
    arrays["users"] = np.array(users, dtype=np.int64)
    return arrays
