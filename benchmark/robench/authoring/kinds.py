"""The kinds of packages that ``robench new-plugin`` writes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from robench.host.registry import Kind


class PackageKind(StrEnum):
    """The kind of the one component in a new package.

    The value is also the name of the folder with the templates of this kind.
    """

    MODEL = "model"
    ATTACK = "attack"
    POISONING = "poisoning"
    TEXT = "text"
    HISTORY = "history"
    DEFENSE = "defense"
    DATASET = "dataset"
    METRIC = "metric"
    EXECUTOR = "executor"
    REPORT = "report"


@dataclass(frozen=True)
class Layout:
    """The names that the templates of one kind use.

    Args:
        module: the name of the module that defines the component.
        noun: the name of the component in prose, with its article.
        component: the kind of the component in the registry, or None for a plugin that only follows runs.
        page: the page of the documentation, without its suffix.
    """

    module: str
    noun: str
    component: Kind | None
    page: str


LAYOUTS: dict[PackageKind, Layout] = {
    PackageKind.MODEL: Layout("model", "a model", "model", "model"),
    PackageKind.ATTACK: Layout("attack", "an attack on embedded inputs", "attack", "attack-embedding"),
    PackageKind.POISONING: Layout("attack", "an attack with fake users", "attack", "attack-interactions"),
    PackageKind.TEXT: Layout("attack", "an attack on titles", "attack", "attack-text"),
    PackageKind.HISTORY: Layout("attack", "an attack on histories", "attack", "attack-history"),
    PackageKind.DEFENSE: Layout("defense", "a defence", "defense", "defence"),
    PackageKind.DATASET: Layout("dataset", "a data set", "dataset", "dataset"),
    PackageKind.METRIC: Layout("metric", "a metric", "metric", "metric"),
    PackageKind.EXECUTOR: Layout("executor", "an executor", "executor", "executor"),
    PackageKind.REPORT: Layout("report", "a report", None, "report"),
}
