"""The tables that a suite wants: its ``ranking``, or one per threat model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robench.api.errors import UserError
from robench.api.metric import Measure
from robench.api.threat import SURFACES, Threat
from robench.host.registry import Registry
from robench.spec import Cell
from robench.suite.load import Suite
from robench.suite.schema import RankingEntry


def tables_of(
    suite: Suite, cells: Sequence[Cell], registry: Registry, errors: list[UserError]
) -> tuple[dict[str, Any], ...]:
    """The tables: as asked for, or one per threat model at its largest ε.

    Args:
        errors: entries that mean no threat of the suite are added here.
    """
    threats = {_key(cell.threat): cell for cell in cells if cell.threat}
    if suite.ranking is None:
        tables = []
        for cell in threats.values():
            same = [c for c in cells if c.threat == cell.threat]
            largest = max(c.columns()["epsilon"] for c in same)
            metric = _usual(suite, same, registry)
            if metric is not None:
                tables.append({**cell.threat, "metric": metric, "epsilon": largest})
        return tuple(tables)
    found = []
    for index, entry in enumerate(suite.ranking):
        meant = [cell.threat for cell in threats.values() if _fits(entry, cell.threat)]
        problem = ""
        if not meant:
            known = "; ".join(sorted(_in_words(cell.threat) for cell in threats.values())) or "none"
            problem = f"no attack of this suite has this threat model (it has: {known})"
        elif len(meant) > 1:
            problem = f"several threat models are meant: {'; '.join(map(_in_words, meant))}"
        elif not any(c.threat == meant[0] and c.columns()["epsilon"] <= entry.epsilon for c in cells):
            problem = f"no cell has ε ≤ {entry.epsilon:g}"
        else:
            problem = _unmeasured(entry.metric, [c for c in cells if c.threat == meant[0]], registry)
        if problem:
            errors.append(UserError(problem, where=suite.tree.place(("ranking", index)), path=f"ranking[{index}]"))
        else:
            found.append({**meant[0], "metric": entry.metric, "epsilon": entry.epsilon})
    return tuple(found)


def _usual(suite: Suite, cells: Sequence[Cell], registry: Registry) -> str | None:
    """NDCG@10, or T-HR@10 where items are promoted; else the suite's first metric of that kind; None without one."""
    promoted = cells[0].threat["goal"] != "untargeted"
    usual, kind = ("t-hr@10", "targets") if promoted else ("ndcg@10", "held-out")
    if usual in suite.metrics:
        return usual
    fit = [m for m in suite.metrics if registry.class_of("metric", Measure.parse(m).name).needs == kind]
    return next((metric for metric in fit if not _unmeasured(metric, cells, registry)), None)


def _unmeasured(metric: str, cells: Sequence[Cell], registry: Registry) -> str:
    """Returns why some of the cells of a threat model do not measure a metric, or an empty text."""
    measure = Measure.parse(metric)
    cls = registry.class_of("metric", measure.name)
    problems = (measure.problem(cls, Threat(**cell.threat), cell.kind) for cell in cells)
    return next((problem for problem in problems if problem), "")


def _key(threat: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(threat.items()))


def _in_words(threat: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {threat[name]}" for name in ("surface", "stage", "norm", "scale", "goal", "k"))


def _fits(entry: RankingEntry, threat: Mapping[str, Any]) -> bool:
    wanted = entry.model_dump(include={"surface", "stage", "norm", "goal", "k"}, exclude_none=True)
    wanted["scale"] = entry.scale or SURFACES[entry.surface].scale
    return all(threat[name] == value for name, value in wanted.items())
