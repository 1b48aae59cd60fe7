"""Reads data sets and describes what was read.

The command ``robench data inspect`` uses this module.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robench.api.codec import encode
from robench.api.dataset import PARTS, Dataset
from robench.api.errors import DataError, UserError, UserErrors, suggest
from robench.api.summary import QUANTILES, DataSummary, describe_size
from robench.engine.data.targets import no_users_error
from robench.files.cache import Cache, default_folder
from robench.host.registry import Entry, Registry
from robench.run.data import prepare_data
from robench.run.dependencies import placed
from robench.spec import Part
from robench.suite.load import load_suite

SUITES = (".yaml", ".yml")
PLAIN = re.compile(r"[A-Za-z/.][A-Za-z0-9_./-]*", re.ASCII)  # strings that need no quotes in YAML
WORDS = ("true", "false", "null", "yes", "no", "on", "off", ".")
SPLIT = Part("leave-last-out", {}, "leave-last-out")


@dataclass(frozen=True)
class Inspected:
    """A data set that was read, and its summary.

    Args:
        label: the label of the data set.
        settings: the entry that a suite needs to read the data. The mapping is empty if a suite already names the data
            set.
        summary: the counts of what was read and of what the filters kept.
        problem: the reason why a suite cannot use the data, or None.
    """

    label: str
    settings: Mapping[str, Any]
    summary: DataSummary
    problem: UserError | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the label, the settings and the summary as a mapping for JSON."""
        return {"label": self.label, "settings": _plain(self.settings), "summary": encode(self.summary)}


def inspect_data(path: Path, registry: Registry) -> list[Inspected]:
    """Reads a file or a folder of data, or all data sets that a suite names.

    If the name of the path ends in ``.yaml`` or ``.yml``, the path is a suite. Otherwise, the format of the data is
    recognised.

    Args:
        path: a file of data, a folder of data, or a suite.
        registry: the plugins.

    Raises:
        UserError: if the suite is wrong, or if the data cannot be recognised or read.
    """
    cache = Cache(default_folder())
    if path.suffix.lower() in SUITES:
        suite = load_suite(path, registry)
        inspected = []
        for part in suite.datasets:
            try:
                data = prepare_data(part, suite.split, registry, suite.folder, cache)[1]
            except DataError as error:
                raise placed(error, suite, suite.homes["dataset"][part.label], part.label) from None
            problem = None
            if not data.summary.evaluated:
                home = suite.homes["dataset"][part.label]
                problem = placed(no_users_error(suite.split), suite, home, part.label)
            inspected.append(Inspected(part.label, {}, data.summary, problem))
        return inspected
    entry, cls, settings = recognise(path, registry)
    config = cls.Config.model_validate(settings).resolved()
    part = Part(registry.identity("dataset", entry), config, path.name)
    try:
        summary = prepare_data(part, SPLIT, registry, Path(), cache)[1].summary
    except DataError as error:
        if path.is_dir():
            read_as = f"the folder is read as {registry.reference('dataset', entry)}"
            error.hint = "; ".join(filter(None, (error.hint, read_as)))
        elif settings.get("header") is False and settings.get("columns"):
            read_as = f"without a header, the columns are taken as {', '.join(settings['columns'])}"
            error.hint = "; ".join(filter(None, (error.hint, read_as)))
        raise
    if not summary.evaluated:
        refusal = no_users_error(SPLIT)
        summary = replace(summary, notes=(*summary.notes, f"{refusal.problem}: {refusal.hint}"))
    return [Inspected(path.name, {"name": registry.reference("dataset", entry)} | dict(settings), summary)]


def refuse_unusable(inspected: Iterable[Inspected]) -> None:
    """Checks that a suite can use all inspected data sets.

    Raises:
        UserErrors: if a suite would be refused because no user of a data set can be evaluated.
    """
    problems = [one.problem for one in inspected if one.problem is not None]
    if problems:
        raise UserErrors(problems)


def recognise(path: Path, registry: Registry) -> tuple[Entry, type[Dataset], Mapping[str, Any]]:
    """Finds the data set that reads a file or a folder.

    If several data sets recognise the path, the least general one is chosen.

    Returns:
        The entry and the class of the data set, and the settings with which it reads the path.

    Raises:
        UserError: if the path does not exist or cannot be read, or if no data set recognises the format.
    """
    if not path.exists():
        near = sorted(path.parent.iterdir()) if path.parent.is_dir() else ()
        raise UserError("no such file", where=str(path), hint=suggest(path.name, {one.name: str(one) for one in near}))
    claims, tried, problems = [], [], []
    for entry in registry.entries["dataset"]:
        try:
            cls: type[Dataset] = registry.load_entry("dataset", entry)
        except UserError:  # robench plugins --check reports this error
            continue
        if cls.recognise.__func__ is not Dataset.recognise.__func__:  # type: ignore[attr-defined]  # class methods
            tried.append(registry.reference("dataset", entry))
        try:
            settings = cls.recognise(path)
        except DataError as error:
            problems.append(error)
            continue
        if settings is not None:
            claims.append((entry, cls, settings))
    if not claims:
        if problems:
            raise problems[0]
        hint = f"tried: {', '.join(tried)}; a suite can name the data set and its settings: inspect the suite"
        raise UserError("no data set recognises its format", where=str(path), hint=hint)
    return min(claims, key=lambda claim: claim[1].general)


def describe_inspected(one: Inspected) -> Iterator[str]:
    """Yields lines that describe a data set and what was read."""
    summary = one.summary
    yield f"{one.label}:"
    if one.settings:
        yield f"  read as: {_entry(one.settings)}"
    yield f"  rows: {summary.rows:,}"
    yield f"  dropped: {summary.low_ratings:,} below min_rating, {_repeats(summary)}"
    yield f"  dropped by filters on users and items: {summary.outside_core:,}"
    yield f"  left: {describe_size(summary)}"
    parts = ", ".join(f"{n:,} {part}" for n, part in zip(summary.parts, PARTS, strict=True))
    yield f"  split: {parts}, {summary.evaluated:,} evaluated users"
    if summary.equal_times is None:
        yield "  times: none, so the order of the rows counts"
    else:
        share = f"{summary.equal_times:.1%} at the time of another of the same user"
        yield f"  times: {summary.first} to {summary.last}, {share}"
    for name, quantiles in (("user", summary.per_user), ("item", summary.per_item)):
        cells = ", ".join(f"{which} {value:,}" for which, value in zip(QUANTILES, quantiles, strict=True))
        yield f"  interactions per {name}: {cells}"
    described = [f"{count:,} with {name}" for name, count in summary.described.items() if count]
    yield f"  items: {', '.join(described) if described else 'no texts'}"
    yield f"  users with a profile: {summary.profiles:,}"
    yield from (f"  note: {note}" for note in summary.notes)


def _repeats(summary: DataSummary) -> str:
    """Returns a phrase that counts the dropped repeats and, if any, the kept ones."""
    noun = "repeat" if summary.dropped_repeats == 1 else "repeats"
    kept = summary.repeats - summary.dropped_repeats
    return f"{summary.dropped_repeats:,} {noun} of a user-item pair" + (f" ({kept:,} others are kept)" if kept else "")


def _entry(settings: Mapping[str, Any]) -> str:
    """Formats settings as an entry of a suite."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in _plain(settings).items()) + "}"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Converts the paths among the settings to strings."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}


def _scalar(value: object) -> str:
    """Formats a value as YAML."""
    plain = isinstance(value, str) and PLAIN.fullmatch(value) is not None and value not in WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
