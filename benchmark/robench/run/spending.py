"""Bounds what a run may spend at services outside this machine.

The command ``plan`` shows the bound, and ``run`` asks for ``--yes`` above a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from robench.api.errors import UserError, counted
from robench.api.metric import Metric
from robench.api.models.base import Model
from robench.api.spending import Spending
from robench.api.summary import DataSummary
from robench.engine.fit.limits import VALIDATION_USERS
from robench.host.registry import Registry
from robench.run.data import data_name
from robench.run.estimates import group_by_victim
from robench.spec import Cell

# A run that may spend more than this needs --yes.
LIMIT = Spending(requests=1_000, tokens=1_000_000, cost=1.0)


@dataclass
class DeclaredSpending:
    """The most that the open victims of one model may spend.

    ``label`` is the label of the model, and ``victims`` is the number of victims.
    """

    label: str
    victims: int
    most: Spending


def declared_spending(
    cells: Iterable[Cell],
    summaries: Mapping[str, DataSummary],
    registry: Registry,
    metrics: Iterable[Metric],
) -> list[DeclaredSpending]:
    """Returns the most that a run may spend, for each model that uses a service.

    Args:
        cells: the cells that are still to be measured.
        summaries: the summary of each data set and split, by name. Data sets without a summary are ignored.
        registry: the plugins.
        metrics: the metrics of the suite.
    """
    likes = any(metric.needs == "likes" for metric in metrics)
    models: dict[str, Model] = {}
    rows: dict[str, DeclaredSpending] = {}
    for some in group_by_victim(cells).values():
        part, name = some[0].victim.model, data_name(some[0].victim)
        if name not in summaries:
            continue
        if part.label not in models:
            models[part.label] = registry.make("model", part)
        model = models[part.label]
        most = model.declared_spending(_most_histories(some, model, summaries[name].users, likes=likes))
        if most is not None:
            row = rows.setdefault(part.label, DeclaredSpending(part.label, 0, Spending()))
            row.victims, row.most = row.victims + 1, row.most + most
    return list(rows.values())


def _most_histories(cells: Sequence[Cell], model: Model, users: int, *, likes: bool) -> int | None:
    """Returns the maximum number of different histories that a victim scores.

    The result is None if an attack may score any number of them.

    Args:
        cells: the open cells of the victim.
        model: the model of the victim.
        users: the number of users in the data.
        likes: whether a metric needs likes. If so, validation covers all users.
    """
    poison = cells[0].victim.poison
    if any(cell.attack is not None for cell in cells) or (poison is not None and cells[0].adaptive == "yes"):
        return None
    samples = {cell.users for cell in cells}
    evaluated = sum(users if sample is None else min(users, sample.sample) for sample in samples)
    validated = min(users, model.setting("validation_users", VALIDATION_USERS))
    return evaluated + (users if likes else validated)


def spending_notes(rows: Sequence[DeclaredSpending]) -> list[str]:
    """Returns a line for each model that uses a service."""
    return [
        f"outside this machine: {row.label} may take {row.most} for {counted(row.victims, 'victim')}"
        + ("; run asks for --yes" if _total(rows).exceeds(LIMIT) else "")
        for row in rows
    ]


def check_spending(rows: Sequence[DeclaredSpending]) -> None:
    """Checks that a run without ``--yes`` cannot spend more than the limit.

    Raises:
        UserError: if the run may spend more than the limit.
    """
    total = _total(rows)
    if total.exceeds(LIMIT):
        names = ", ".join(row.label for row in rows)
        raise UserError(
            f"{names} may take {total} outside this machine",
            path="--yes",
            hint=f"--yes allows it; up to {LIMIT} need no --yes",
        )


def _total(rows: Iterable[DeclaredSpending]) -> Spending:
    return sum((row.most for row in rows), Spending())
