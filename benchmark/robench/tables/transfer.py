"""Shows how far attacks with fake users reach beyond the model that they fit.

The effects are those of the poisoning rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from robench.api.codec import inline
from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.tables.poisoning import PoisoningRow
from robench.tables.results import Results, grouped
from robench.tables.stats import Interval

MEASURE = Measure("t-percentile")
LEAST_VICTIMS = 2  # the number of models that an attack must meet
LEAST_ATTACKS = 2  # the least number of attacks, each on enough models, in a matrix


@dataclass(frozen=True)
class TransferRow:
    """The effect of fake users on the targets of one undefended victim.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the attack.
        epsilon: the budget of the attack.
        norm: the norm of the threat model, which states what the attack knows.
        goal: the goal of the attack.
        surrogate: the model that the attack fits in place of this victim, or an empty string.
        same_model: whether the victim's model is the surrogate's model, too.
        seeds: the number of seeds.
        effect: the mean difference in ``t-percentile`` between poisoned and clean victims, with its interval.
        control: the null control of the effect.
        verdict: ``rises``, ``falls`` or ``none``. The string is empty if there are too few seeds.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model", "model_label"))
    attack_label: str
    epsilon: float
    norm: str
    goal: str
    surrogate: str
    same_model: bool
    seeds: int
    effect: Interval
    control: Interval
    verdict: str


def build_transfer_rows(results: Results, poisoning: Sequence[PoisoningRow]) -> list[TransferRow]:
    """Returns the effects of attacks on undefended victims, in the order of the plan.

    The rows of a data set and split are left out unless two or more attacks were each measured on two or more models,
    and one of these attacks fits a surrogate.

    Args:
        results: the results of the folder.
        poisoning: the rows with the effects of all attacks at training time, in every measure.
    """
    cells = {(cell.key, cell.attack_label, cell.epsilon): cell for cell in results.cells if cell.stage == "train"}
    effects = [one for one in poisoning if one.metric == MEASURE and not one.key.defended]
    rows = [_row(one, cells[one.key, one.attack_label, one.epsilon]) for one in effects]
    by_place = grouped(rows, lambda row: row.key.place).values()
    return [row for group in by_place if len(list(_transferable(group))) >= LEAST_ATTACKS for row in group]


def _row(effect: PoisoningRow, cell: CellRow) -> TransferRow:
    return TransferRow(
        effect.key,
        effect.attack_label,
        effect.epsilon,
        cell.norm,
        cell.goal,
        cell.surrogate,
        cell.surrogate == effect.key.model,
        effect.seeds,
        effect.effect,
        effect.control,
        effect.verdict,
    )


def _transferable(rows: Sequence[TransferRow]) -> Iterator[str]:
    """Yields the labels of the attacks that were measured on at least two models.

    Nothing is yielded if none of these attacks fits a surrogate.
    """
    attacks = grouped(rows, lambda row: row.attack_label)
    met = {
        label: some for label, some in attacks.items() if len({row.key.model_label for row in some}) >= LEAST_VICTIMS
    }
    if any(row.surrogate for some in met.values() for row in some):
        yield from met
