"""Reads plan.json, which holds the plan of a run.

The tables and ``robench show`` use the plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ValidationError

from robench.api.codec import IF_SET, decode, inline
from robench.api.errors import UserError
from robench.api.metric import Measure
from robench.api.summary import DataSummary
from robench.api.threat import Threat
from robench.files.reading import read_file
from robench.spec import CellRow, Count, Epsilon, TargetChoice, Whole
from robench.store.models import Sha256, first_problem, model_of
from robench.store.seal import SEAL, parse_sealed

PLAN_VERSION = 1
OTHER_DATA = "chosen on other data"  # a reason why a component does not count as tuned


@dataclass(frozen=True)
class PlannedTable:
    """A table of the leaderboard for one threat model.

    The table covers budgets up to ``epsilon``.
    """

    threat: Threat = field(metadata=inline())
    metric: Measure
    epsilon: Epsilon


@dataclass(frozen=True)
class PlannedTuning:
    """The search by which settings of the suite were chosen.

    Args:
        trials: the number of trials, which is the same for every searched component.
        sha256: the digest of the file of trials.
        seed: the seed of the fits.
        search_seed: the seed from which the settings were drawn.
        chosen: the labels of the components that have the settings of their best trial.
        untuned: the reason why a component does not count as tuned, by label.
        data_sha256: the digest of the data on which the settings were chosen.
    """

    trials: Count
    sha256: Sha256
    seed: Whole
    search_seed: Whole
    chosen: tuple[str, ...]
    untuned: Mapping[str, str]
    data_sha256: str

    def on_data(self, digests: Iterable[str]) -> PlannedTuning:
        """Returns the search, with the components that count as tuned on the given data.

        If the search was made on different data, no component counts as tuned.

        Args:
            digests: the digests of all data of the run.
        """
        if {*digests} == {self.data_sha256}:
            return self
        return replace(self, chosen=(), untuned={**self.untuned, **dict.fromkeys(self.chosen, OTHER_DATA)})


@dataclass(frozen=True)
class PlanFile:
    """The content of plan.json.

    Args:
        format_version: the version of the file format.
        suite: the name of the suite.
        protocol_version: the latest version of the measurement protocol that a victim has.
        metrics: the measures of the suite.
        ranking: the tables of the leaderboard.
        targets: the choice of the target items.
        seeds: the seeds of the victims.
        cells: every cell of the suite, including skipped ones.
        data_sha256: the digests of the prepared data. A key names a data set and split, such as
            ``movielens-small/leave-last-out``.
        users_sha256: the sha256 of the arrays in users.npz, from ``hash_arrays``. The string is empty in plans from
            earlier versions of robench.
        data: the summaries of the data, by data set and split. Plans from earlier versions of robench have none.
        tuned: the search for the settings, or None if the suite names no file of trials.
    """

    format_version: Count
    suite: str
    protocol_version: Count
    metrics: tuple[Measure, ...]
    ranking: tuple[PlannedTable, ...]
    targets: TargetChoice
    seeds: tuple[Whole, ...]
    cells: tuple[CellRow, ...]
    data_sha256: Mapping[str, str] = field(default_factory=dict, metadata=IF_SET)
    users_sha256: str = field(default="", metadata=IF_SET)
    data: Mapping[str, DataSummary] = field(default_factory=dict, metadata=IF_SET)
    tuned: PlannedTuning | None = field(default=None, metadata=IF_SET)


def read_plan(folder: Path) -> PlanFile:
    """Reads the file plan.json of a folder of results.

    Raises:
        UserError: if the file is missing, is not a plan, or was changed after it was written.
    """
    path = folder / "plan.json"
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise UserError(
            "no plan.json: not a folder of results", where=str(folder), hint="robench run writes one"
        ) from None
    except UserError as error:
        if folder.exists() and not folder.is_dir():
            raise UserError("a file, not a folder of results", where=str(folder)) from None
        raise error from None
    return parse_plan(content, str(path))


def parse_plan(content: bytes, where: str) -> PlanFile:
    """Parses and checks the content of a plan.json file.

    Args:
        content: the bytes of the file.
        where: the name of the file in error messages.

    Raises:
        UserError: if the content is not a plan, or was changed after it was written.
    """
    plan = parse_sealed(content, "a plan", PLAN_VERSION, where)
    try:
        plan_model().model_validate(plan)
        decoded = decode(PlanFile, plan)
    except ValidationError as error:
        raise UserError(f"not a plan: {first_problem(error)}", where=where) from None
    except ValueError as error:
        raise UserError(f"not a plan: {error}", where=where) from None
    if problem := _problem(decoded):
        raise UserError(f"not a plan: {problem}", where=where)
    return decoded


def _problem(plan: PlanFile) -> str:
    """Describes a fault that the types do not exclude, or returns an empty string."""
    ids = Counter(cell.cell for cell in plan.cells)
    for cell in plan.cells:
        if ids[cell.cell] > 1:
            return f"cell {cell.cell} stands in it {ids[cell.cell]} times"
        threat = (cell.stage, cell.surface, cell.norm, cell.scale, cell.goal, cell.k)
        if any(threat) if cell.clean else not all(threat):
            return f"cell {cell.cell} has half a threat model"
    return ""


@cache
def plan_model() -> type[BaseModel]:
    """Returns the Pydantic model of plan.json, which is built from ``PlanFile``."""
    return model_of(PlanFile, {SEAL: (Sha256, ...)})
