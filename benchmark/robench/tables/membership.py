"""Summarises how well attacks tell members of the training data from others."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.store.membership import summarise_membership
from robench.tables.clean import estimate_clean
from robench.tables.results import Results
from robench.tables.stats import Interval

GUESSING = 0.5  # the AUROC of an attack that knows nothing
TOLD_APART = "told apart"
POPULAR = "-popular"  # the end of what an attack sees if non-members get the most popular items


@dataclass(frozen=True)
class MembershipRow:
    """One attack on the membership of the users of one model.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the attack.
        sees: what the attack sees: ``lists`` or ``scores``. The end ``-popular`` says that non-members get the most
            popular items.
        members: the number of tested members.
        non_members: the number of tested non-members.
        auroc: the probability that a member has a higher score than a non-member, as a mean over seeds.
        tpr: the share of the members that are found at 1% false alarms, as a mean over seeds.
        seeds: the number of seeds.
        verdict: ``told apart`` if the interval of the AUROC lies above 0.5, else ``not shown``.
        metric: the measure of ``clean``, or None if the suite has none that judges each user by ranks.
        clean: the mean clean value of the model, or None. A model that answers everybody alike hides its members.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    attack_label: str
    sees: str
    members: int
    non_members: int
    auroc: Interval
    tpr: Interval
    seeds: int
    verdict: str
    metric: Measure | None
    clean: Interval | None


def build_membership_rows(results: Results) -> list[MembershipRow]:
    """Returns one row per victim and attack on membership, in the order of the plan.

    The numbers are computed from the stored scores of the users.
    """
    groups = results.grouped(
        lambda cell: (cell.key, cell.attack_label), lambda cell: bool(results.record(cell).get("membership"))
    )
    return [_row(results, key, label, cells) for (key, label), cells in groups.items()]


def _row(results: Results, key: RowKey, label: str, cells: list[CellRow]) -> MembershipRow:
    arrays = [results.arrays(cell) for cell in cells]
    member = arrays[0]["is_member"].astype(bool)
    numbers = summarise_membership([part["membership_score"].astype(np.float64) for part in arrays], member)

    def interval(name: str) -> Interval:
        return Interval(*(float(numbers[f"{name}{end}"] or 0.0) for end in ("", "_low", "_high")))

    auroc = interval("auroc")
    threat = cells[0].threat
    return MembershipRow(
        key,
        label,
        "" if threat is None else threat.norm,
        int(member.sum()),
        int((~member).sum()),
        auroc,
        interval("tpr"),
        len(cells),
        TOLD_APART if auroc.low > GUESSING else "not shown",
        *estimate_clean(results, key),
    )
