"""Checks the metrics of a suite, and the tables in ``ranking``.

``load.py`` uses this module.
"""

from __future__ import annotations

from collections.abc import Sequence

from robench.api.errors import UserError
from robench.api.metric import Measure, Metric
from robench.host.registry import Registry
from robench.suite.mistakes import Mistakes
from robench.suite.schema import RankingEntry
from robench.suite.yaml import KeyPath

TOP_LIST = 10  # the number of items that a cell stores per user, which limits the k of list metrics


def check_metrics(written: Sequence[str], registry: Registry, mistakes: Mistakes, *, default: bool) -> tuple[str, ...]:
    """Returns the valid measures of the suite by identity, such as ``ndcg@10``.

    Args:
        written: the metrics in the suite file.
        registry: the plugins.
        mistakes: the list to which mistakes are added.
        default: True if the suite names no metrics. Then ``written`` holds the default metrics of robench.
    """
    metrics: list[str] = []
    for index, name in enumerate(written):
        metric = _check_metric(name, ("metrics", index), registry, mistakes, default=default)
        if metric in metrics:
            mistakes.add(f"metric '{name}' is named twice", ("metrics", index))
        elif metric is not None:
            metrics.append(metric)
    return tuple(metrics)


def check_ranking(
    entries: Sequence[RankingEntry], metrics: Sequence[str] | None, registry: Registry, mistakes: Mistakes
) -> tuple[RankingEntry, ...]:
    """Returns the tables that the suite asks for, each with its metric by identity.

    A table with an invalid metric keeps the metric as written.

    Args:
        entries: the entries in the suite file.
        metrics: the metrics of the suite, or None if mistakes make them unknown.
        registry: the plugins.
        mistakes: the list to which mistakes are added.
    """
    tables: list[RankingEntry] = []
    for index, entry in enumerate(entries):
        path = ("ranking", index, "metric")
        metric = _check_metric(entry.metric, path, registry, mistakes, default="metric" not in entry.model_fields_set)
        if metric is not None and metrics is not None and metric not in metrics:
            hint = f"add it there; known: {', '.join(metrics)}"
            mistakes.add(f"'{entry.metric}' is not among the suite's metrics", path, hint)
        if metric is not None and registry.class_of("metric", Measure.parse(metric).name).needs == "clean":
            mistakes.add(f"'{entry.metric}' compares with the clean cell, which has no value of it to fall from", path)
        table = entry.model_copy(update={"metric": metric or entry.metric})
        if table in tables:
            mistakes.add("the same table is asked for twice", path[:2], "remove one of them")
        tables.append(table)
    return tuple(tables)


def _check_metric(written: str, path: KeyPath, registry: Registry, mistakes: Mistakes, *, default: bool) -> str | None:
    """Returns a measure with the identity of its metric, such as ``ndcg@10``.

    If the measure is wrong, the function adds a mistake and returns None. ``default`` says whether the measure is a
    default of robench.
    """
    measure = Measure.parse(written)
    short, k = measure.name, measure.k
    try:
        entry = registry.resolve("metric", short) if default else registry.find("metric", short)
        cls: type[Metric] = registry.load_entry("metric", entry)
    except UserError as error:
        mistakes.add(error.problem, path, error.hint)
        return None
    if cls.at_k and not k:
        mistakes.add(f"metric '{written}' needs its k, from 1", path, f"write {short}@10")
    elif not cls.at_k and written != short:
        mistakes.add(f"metric '{short}' has no k", path, f"write {short}")
    elif cls.needs in ("clean", "items") and k > TOP_LIST:
        hint = f"write {short}@{TOP_LIST}"
        mistakes.add(f"lists are stored to {TOP_LIST} items, '{written}' looks further", path, hint)
    else:
        return str(Measure(registry.identity("metric", entry), k))
    return None
