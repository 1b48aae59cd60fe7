"""Plans the tables of a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robench.api.errors import UserError
from robench.api.metric import Measure, Metric
from robench.api.surfaces import SURFACES
from robench.api.threat import Threat
from robench.host.registry import Registry
from robench.spec import Cell
from robench.store.plan_file import PlannedTable
from robench.suite.load import Suite
from robench.suite.schema import RankingEntry


def plan_tables(
    suite: Suite, cells: Sequence[Cell], registry: Registry, errors: list[UserError]
) -> tuple[PlannedTable, ...]:
    """Returns one table per entry of the suite's ``ranking``, or per threat model.

    If the suite has no ``ranking``, there is one table per threat model, at its largest ε. A threat model has no table
    if the suite has no metric for it. See ``_usual``.

    Args:
        suite: the suite.
        cells: the cells of the plan.
        registry: the plugins.
        errors: a list that receives one error for each entry that gives no table.
    """
    by_threat: dict[Threat, list[Cell]] = {}
    for cell in cells:
        if cell.threat is not None:
            by_threat.setdefault(cell.threat, []).append(cell)
    if suite.ranking is None:
        metrics = registry.metrics(suite.metrics)
        usual = {threat: _usual(suite.metrics, group, metrics) for threat, group in by_threat.items()}
        return tuple(
            PlannedTable(threat, Measure.parse(metric), max(cell.budget for cell in by_threat[threat]))
            for threat, metric in usual.items()
            if metric is not None
        )
    metrics = registry.metrics(entry.metric for entry in suite.ranking)
    tables = []
    for index, entry in enumerate(suite.ranking):
        matching = [threat for threat in by_threat if _fits(entry, threat)]
        problem = _problem(entry, matching, by_threat, metrics)
        if problem:
            errors.append(UserError(problem, where=suite.tree.place(("ranking", index)), path=f"ranking[{index}]"))
        else:
            tables.append(PlannedTable(matching[0], Measure.parse(entry.metric), entry.epsilon))
    return tuple(tables)


def _problem(
    entry: RankingEntry,
    matching: Sequence[Threat],
    by_threat: Mapping[Threat, Sequence[Cell]],
    metrics: Mapping[str, Metric],
) -> str:
    """Returns the reason why a ``ranking`` entry gives no table, or an empty string.

    Args:
        entry: the entry.
        matching: the threat models that fit the entry.
        by_threat: the cells of each threat model.
        metrics: the metrics, by their identities.
    """
    if not matching:
        known = "; ".join(sorted(map(_in_words, by_threat))) or "none"
        return f"no attack of this suite has this threat model (it has: {known})"
    if len(matching) > 1:
        return f"several threat models are meant: {'; '.join(map(_in_words, matching))}"
    cells = by_threat[matching[0]]
    if not any(cell.budget <= entry.epsilon for cell in cells):
        return f"no cell has ε ≤ {entry.epsilon:g}"
    return _unmeasured(entry.metric, cells, metrics)


def _usual(names: Sequence[str], cells: Sequence[Cell], metrics: Mapping[str, Metric]) -> str | None:
    """Returns the measure by which a table is ranked if the suite has no ``ranking``.

    The default is ``ndcg@10``. If items are promoted or demoted, it is ``t-hr@10``, or ``t-percentile`` for fake users.
    If the suite does not list the default, the result is the first listed measure of the same kind that all cells have.
    If there is none, the result is None.

    Args:
        names: the measures of the suite.
        cells: the cells of one threat model.
        metrics: the metrics, by their identities.
    """
    threat = cells[0].threat
    promoted = threat is not None and threat.goal != "untargeted"
    usual, kind = ("t-hr@10", "targets") if promoted else ("ndcg@10", "held-out")
    if threat is not None and promoted and threat.stage == "train":
        usual = "t-percentile"
    if threat is not None and not SURFACES[threat.surface].perturbs:
        return None
    if usual in names:
        return usual
    fit = [name for name in names if metrics[Measure.parse(name).name].needs == kind]
    return next((name for name in fit if not _unmeasured(name, cells, metrics)), None)


def _unmeasured(name: str, cells: Sequence[Cell], metrics: Mapping[str, Metric]) -> str:
    """Returns the reason why some cells of a threat model lack a measure.

    The result is an empty string if all cells have the measure.
    """
    measure = Measure.parse(name)
    problems = (measure.problem(metrics[measure.name], cell.threat, cell.kind) for cell in cells)
    return next(filter(None, problems), "")


def _in_words(threat: Threat) -> str:
    fields = threat.as_dict()
    return ", ".join(f"{name} {fields[name]}" for name in ("surface", "stage", "norm", "scale", "goal", "k"))


def _fits(entry: RankingEntry, threat: Threat) -> bool:
    written = entry.model_dump(include={"surface", "stage", "norm", "goal", "k"}, exclude_none=True)
    written["scale"] = entry.scale or SURFACES[entry.surface].scale
    fields = threat.as_dict()
    return all(fields[name] == value for name, value in written.items())
