"""A suite file -> a validated ``Suite``; every mistake of it at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robench.api.errors import UserError, UserErrors, did_you_mean
from robench.api.metric import Measure, Metric
from robench.host.registry import Kind, Registry
from robench.spec import Part, TargetChoice, UserSample
from robench.suite.expand import Expanded, expand
from robench.suite.mistakes import Mistakes
from robench.suite.overrides import apply_overrides
from robench.suite.schema import SPLITS, RankingEntry, SuiteFile
from robench.suite.yaml import Path as Steps
from robench.suite.yaml import Tree, parse

TOP_LIST = 10  # items that a cell stores per user; list stability cannot look further


@dataclass(frozen=True)
class Suite:
    """What a suite asks for, defaults spelled out. ``tree`` knows the lines, ``folder`` anchors relative paths.

    ``homes``: by kind, where the data set, model, defence, attack of each label is written. ``notes``: what the user
    should know of it.
    """

    name: str
    seeds: tuple[int, ...]
    threads: int
    device: str
    datasets: tuple[Part, ...]
    split: Part
    models: tuple[Part, ...]
    defenses: tuple[Part, ...]
    attacks: tuple[Expanded, ...]
    targets: TargetChoice
    ranking: tuple[RankingEntry, ...] | None
    exclude: tuple[dict[str, Any], ...]
    metrics: tuple[str, ...]
    users: UserSample | None
    folder: Path
    tree: Tree
    homes: Mapping[str, Mapping[str, Steps]]
    notes: tuple[str, ...] = ()

    def resolved(self, registry: Registry) -> dict[str, Any]:
        """Returns the suite as plain data, which gives the same ids when it is loaded again.

        Args:
            registry: qualifies the names that are ambiguous here.
        """

        def entry(kind: Kind, part: Part) -> dict[str, Any]:
            return {"name": registry.spelling(kind, part.name), "label": part.label, **part.config}

        def metric(name: str) -> str:
            measure = Measure.parse(name)
            return str(replace(measure, name=registry.spelling("metric", measure.name)))

        ranking = [{**e.model_dump(exclude_none=True), "metric": metric(e.metric)} for e in self.ranking or ()]
        return {
            "name": self.name,
            "seeds": list(self.seeds),
            "threads": self.threads,
            "device": self.device,
            "datasets": [entry("dataset", part) for part in self.datasets],
            "split": {"name": self.split.name, **self.split.config},
            "models": [entry("model", part) for part in self.models],
            "defenses": [entry("defense", part) for part in self.defenses],
            "attacks": [{**entry("attack", a.part), "epsilon": list(a.epsilons)} for a in self.attacks],
            "targets": self.targets.content(),
            **({} if self.ranking is None else {"ranking": ranking}),
            "exclude": list(self.exclude),
            "metrics": [metric(name) for name in self.metrics],
            **({} if self.users is None else {"users": self.users.content()}),
        }


def load_suite(path: Path, registry: Registry, overrides: Sequence[str] = ()) -> Suite:
    """Read, check and expand a suite.

    Raises:
        UserError: the file is missing or not YAML.
        UserErrors: every mistake in it, in the order of its lines.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), hint=_nearby(path)) from None
    except IsADirectoryError:
        raise UserError("a folder, not a suite file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"not UTF-8 at byte {error.start}", where=str(path)) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from None
    tree = parse(text, str(path))
    if not isinstance(tree.data, dict):
        kind = "empty" if tree.data is None else "a list" if isinstance(tree.data, list) else "a single value"
        raise UserError(
            f"the suite is {kind}, not a mapping", where=f"{path}:1", hint="it starts with name:, datasets:, models:"
        )
    apply_overrides(tree, overrides)
    return suite_of(tree, path, registry)


def suite_of(tree: Tree, path: Path, registry: Registry) -> Suite:
    """The suite of a parsed tree."""
    mistakes = Mistakes(tree)
    data = {"name": path.stem, **tree.data}
    try:
        file = SuiteFile.model_validate(data)
    except ValidationError as error:
        mistakes.add_validation(error, (), list(SuiteFile.model_fields))
        file = _usable(data, error)
    datasets = expand("dataset", file.datasets, "datasets", registry, mistakes)
    models = expand("model", file.models, "models", registry, mistakes)
    defenses = expand("defense", file.defenses, "defenses", registry, mistakes)
    attacks = expand("attack", file.attacks, "attacks", registry, mistakes)
    split = _split(file.split, mistakes)
    if len(set(file.seeds)) < len(file.seeds):
        mistakes.add("a seed is named twice", ("seeds",))
    metrics = _metrics(file.metrics, registry, mistakes, default="metrics" not in tree.data)
    sound = len(metrics) == len(file.metrics) and ("metrics",) not in mistakes.meant
    ranking = _ranking(file.ranking or [], metrics if sound else None, registry, mistakes)
    if mistakes.found:
        raise UserErrors(mistakes.in_order())
    return Suite(
        file.name,
        tuple(file.seeds),
        file.threads,
        file.device,
        tuple(e.part for e in datasets),
        split,
        tuple(e.part for e in models),
        tuple(e.part for e in defenses),
        tuple(attacks),
        TargetChoice(file.targets.count, file.targets.pick, file.targets.sets),
        None if file.ranking is None else ranking,
        tuple(file.exclude),
        metrics,
        None if file.users is None else UserSample(file.users.sample, file.users.seed),
        path.parent,
        tree,
        {
            kind: {e.part.label: e.path for e in reversed(entries)}
            for kind, entries in (
                ("dataset", datasets),
                ("model", models),
                ("defense", defenses),
                ("attack", attacks),
            )
        },
        tuple(mistakes.notes),
    )


def _usable(data: dict[str, Any], error: ValidationError) -> SuiteFile:
    """What of a broken top level can still be checked: its sound keys, over defaults."""
    broken = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    sound = {name: value for name, value in data.items() if name not in broken and name in SuiteFile.model_fields}
    empty: dict[str, Any] = {"name": "x", "datasets": [], "models": []}
    defaults = {
        n: i.get_default(call_default_factory=True) for n, i in SuiteFile.model_fields.items() if n not in empty
    }
    valid = SuiteFile.model_validate({"name": "x", "datasets": [{}], "models": [{}], **sound})
    values = {
        name: getattr(valid, name) if name in sound else {**defaults, **empty}[name] for name in SuiteFile.model_fields
    }
    return SuiteFile.model_construct(**values)


def _split(raw: Any, mistakes: Mistakes) -> Part:
    entry = {"name": raw} if isinstance(raw, str) else raw
    name = entry.get("name", "leave-last-out") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        mistakes.add("a split is written by its name or as {name: ...}", ("split",), did_you_mean("", SPLITS))
        return Part("leave-last-out", {}, "leave-last-out")
    if name not in SPLITS:
        mistakes.add(f"unknown split '{name}'", ("split",), did_you_mean(name, SPLITS))
        return Part("leave-last-out", {}, "leave-last-out")
    settings = {key: value for key, value in entry.items() if key != "name"}
    try:
        config = SPLITS[name].model_validate(settings).model_dump(mode="json")
    except ValidationError as error:
        mistakes.add_validation(error, ("split",), ["name", *SPLITS[name].model_fields])
        config = {}
    return Part(name, config, name, settings)


def _metrics(written: Sequence[str], registry: Registry, mistakes: Mistakes, *, default: bool) -> tuple[str, ...]:
    """Returns the metrics of the suite by identity (``ndcg@10``), without those that are mistakes.

    Args:
        default: the suite names no metrics, and these are robench's own.
    """
    metrics: list[str] = []
    for index, name in enumerate(written):
        metric = _metric(name, ("metrics", index), registry, mistakes, default=default)
        if metric in metrics:
            mistakes.add(f"metric '{name}' is named twice", ("metrics", index))
        elif metric is not None:
            metrics.append(metric)
    return tuple(metrics)


def _metric(written: str, path: Steps, registry: Registry, mistakes: Mistakes, *, default: bool) -> str | None:
    """Returns ``name@k`` with the metric's identity for its name, or None and a mistake."""
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
    elif cls.needs == "clean" and k > TOP_LIST:
        hint = f"write {short}@{TOP_LIST}"
        mistakes.add(f"lists are stored to {TOP_LIST} items, '{written}' looks further", path, hint)
    else:
        return str(Measure(registry.identity("metric", entry), k))
    return None


def _ranking(
    entries: Sequence[RankingEntry], metrics: Sequence[str] | None, registry: Registry, mistakes: Mistakes
) -> tuple[RankingEntry, ...]:
    """Returns the tables that the suite asks for, with their metrics by identity.

    Args:
        metrics: those of the suite, or None if they are not known because of mistakes.
    """
    tables: list[RankingEntry] = []
    for index, entry in enumerate(entries):
        path = ("ranking", index, "metric")
        metric = _metric(entry.metric, path, registry, mistakes, default="metric" not in entry.model_fields_set)
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


def _nearby(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    found = [str(p) for p in sorted(folder.glob("*.y*ml"))] or [str(p) for p in sorted(Path("suites").glob("*.y*ml"))]
    return did_you_mean(str(path), found, most=5) if found else ""
