"""Loads a suite file into a ``Suite``, or reports all mistakes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robench.api.errors import UserError, UserErrors, did_you_mean, suggest
from robench.api.escapes import well_formed
from robench.api.metric import Measure
from robench.host.registry import Kind, Registry
from robench.spec import RESOLVED, TRIALS_FILE, Part, TargetChoice, UserSample
from robench.store.plan_file import PlannedTuning
from robench.suite.expand import expand
from robench.suite.labels import Expanded
from robench.suite.metrics import check_metrics, check_ranking
from robench.suite.mistakes import Mistakes
from robench.suite.overrides import apply_overrides
from robench.suite.schema import SPLITS, RankingEntry, SuiteFile
from robench.suite.tuning import Tuning, read_tuning
from robench.suite.yaml import KeyPath, Tree, parse

DATA = (".csv", ".tsv", ".tab", ".dat", ".parquet", ".pq", ".jsonl", ".ndjson", ".inter")  # endings of data
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Suite:
    """A valid suite, including its defaults.

    Fields that are not listed below hold the values of the keys with the same names. See ``SuiteFile``.

    Args:
        metrics: the measures, such as ``ndcg@10``. Each metric is given by its identity.
        limits: the most that any victim may use: ``seconds``, and ``memory`` in bytes.
        folder: the folder to which relative paths refer.
        file: the suite file.
        tree: the content of the suite file, with the line of every value.
        homes: the path of each component in the file, by kind and label.
        notes: notes for the user about the suite.
        tuning: what the suite says about the search for its settings, or None.
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
    exclude: tuple[Mapping[str, Any], ...]
    metrics: tuple[str, ...]
    users: UserSample | None
    limits: Mapping[str, float]
    folder: Path
    file: Path
    tree: Tree
    homes: Mapping[str, Mapping[str, KeyPath]]
    notes: tuple[str, ...] = ()
    tuning: Tuning | None = None

    def resolved(self, registry: Registry) -> Mapping[str, Any]:
        """Returns the suite as plain data, with all defaults.

        Loading this data as a file that begins with ``RESOLVED`` gives the same ids.

        Args:
            registry: the plugins, which determine the names that must be qualified.
        """

        def entry(kind: Kind, part: Part) -> Mapping[str, Any]:
            limits = {"limits": dict(part.limits)} if part.limits else {}
            return {"name": registry.spelling(kind, part.name), "label": part.label, **part.config, **limits}

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
            **({"limits": dict(self.limits)} if self.limits else {}),
            **({} if self.tuning is None else {"tuned": self._claim(self.tuning.planned)}),
        }

    def _claim(self, tuning: PlannedTuning) -> Mapping[str, Any]:
        """Returns the value of the key ``tuned`` for a folder of results."""
        return {"file": TRIALS_FILE, "trials": tuning.trials, "sha256": tuning.sha256}


def load_suite(path: Path, registry: Registry, overrides: Sequence[str] = ()) -> Suite:
    """Loads a suite file.

    Args:
        path: the path of the file.
        registry: the plugins.
        overrides: settings from the command line, in the form ``a.b=c``.

    Raises:
        UserError: if the file cannot be read or is not a YAML mapping, or if an override is wrong.
        UserErrors: if the suite has mistakes. All mistakes are reported in the order of their lines.
    """
    endings = [suffix.lower() for suffix in path.suffixes[-2:]]
    if endings and endings[-1] not in YAML and any(ending in DATA for ending in endings) and path.is_file():
        raise UserError("this is data, not a suite", where=str(path), hint=f"robench data inspect {path}")
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
    return build_suite(tree, path, registry, resolved=text.startswith(RESOLVED))


def build_suite(tree: Tree, path: Path, registry: Registry, *, resolved: bool = False) -> Suite:
    """Builds a suite from a parsed file.

    Args:
        tree: the content of the file.
        path: the path of the file.
        registry: the plugins.
        resolved: whether the suite is one that robench wrote into a folder of results, with resolved settings.

    Raises:
        UserErrors: if the suite has mistakes. All mistakes are reported in the order of their lines.
    """
    mistakes = Mistakes(tree)
    _refuse_half_characters(tree.data, (), mistakes)
    data = {"name": path.stem, **tree.data}
    try:
        file = SuiteFile.model_validate(data)
    except ValidationError as error:
        mistakes.add_validation(error, (), list(SuiteFile.model_fields))
        file = _sound_part(data, error)
    expanded = {
        "dataset": expand("dataset", file.datasets, "datasets", registry, mistakes, resolved=resolved),
        "model": expand("model", file.models, "models", registry, mistakes, resolved=resolved),
        "defense": expand("defense", file.defenses, "defenses", registry, mistakes, resolved=resolved),
        "attack": expand("attack", file.attacks, "attacks", registry, mistakes, resolved=resolved),
    }
    split = _split(file.split, mistakes)
    if split.name == "files" and split.config and len(file.datasets) > 1:
        problem = f"the files are those of one data set, and the suite has {len(file.datasets)}"
        mistakes.add(problem, ("split",), "write a suite per data set")
    for seed in sorted({seed for seed in file.seeds if file.seeds.count(seed) > 1}):
        mistakes.add(f"seed {seed} is named twice", ("seeds",))
    metrics = check_metrics(file.metrics, registry, mistakes, default="metrics" not in tree.data)
    sound = len(metrics) == len(file.metrics) and ("metrics",) not in mistakes.misspelt
    ranking = check_ranking(file.ranking or [], metrics if sound else None, registry, mistakes)
    parts = {kind: tuple(one.part for one in some) for kind, some in expanded.items()}
    searched = {kind: parts[kind] for kind in ("model", "defense")}
    tuning = None
    if file.tuned is not None and not mistakes:
        tuning = read_tuning(file.tuned, path.parent, parts["dataset"], split, searched, mistakes)
    if mistakes:
        raise UserErrors(mistakes.in_order())
    return Suite(
        file.name,
        tuple(file.seeds),
        file.threads,
        file.device,
        parts["dataset"],
        split,
        parts["model"],
        parts["defense"],
        tuple(expanded["attack"]),
        file.targets.choice(),
        None if file.ranking is None else ranking,
        tuple(file.exclude),
        metrics,
        None if file.users is None else UserSample(file.users.sample, file.users.seed),
        file.limits.content(),
        path.parent,
        path,
        tree,
        {kind: {one.part.label: one.path for one in reversed(parts)} for kind, parts in expanded.items()},
        tuple(mistakes.notes),
        tuning,
    )


def _refuse_half_characters(value: Any, path: KeyPath, mistakes: Mistakes) -> None:
    """Adds a mistake for each string with a lone surrogate.

    No file can hold such a string.
    """
    if isinstance(value, dict):
        for name, part in value.items():
            _refuse_half_characters(part, (*path, name), mistakes)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            _refuse_half_characters(part, (*path, number), mistakes)
    elif isinstance(value, str) and value != well_formed(value):
        mistakes.add("holds half a character (a lone surrogate)", path)


def _sound_part(data: Mapping[str, Any], error: ValidationError) -> SuiteFile:
    """Builds a suite file from the valid keys of a broken suite and from defaults.

    With this result, the loader can still check the components.
    """
    broken = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    sound = {name: value for name, value in data.items() if name not in broken and name in SuiteFile.model_fields}
    empty: Mapping[str, Any] = {"name": "x", "datasets": [], "models": []}
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
        config = SPLITS[name].model_validate(settings).resolved()
    except ValidationError as error:
        mistakes.add_validation(error, ("split",), ["name", *SPLITS[name].model_fields])
        config = {}
    return Part(name, config, name, settings)


def _nearby(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    files = sorted(folder.glob("*.y*ml")) or sorted(Path("suites").glob("*.y*ml"))
    return suggest(path.name, {file.name: str(file) for file in files})
