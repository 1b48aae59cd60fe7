"""Describes what was read of a data set, for ``robench data inspect``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench.api.codec import encode
from robench.api.dataset import PARTS, Dataset
from robench.api.errors import DataError, UserError
from robench.api.summary import QUANTILES, DataSummary
from robench.files.cache import Cache, default_folder
from robench.host.registry import Entry, Registry
from robench.run.data import prepare_data
from robench.run.dependencies import placed
from robench.spec import Part
from robench.suite.load import load_suite

SUITES = (".yaml", ".yml")
PLAIN = re.compile(r"[A-Za-z/.][A-Za-z0-9_./-]*", re.ASCII)  # strings that YAML needs no quotes for
WORDS = ("true", "false", "null", "yes", "no", "on", "off", ".")
SPLIT = Part("leave-last-out", {}, "leave-last-out")


@dataclass(frozen=True)
class Inspected:
    """A data set with its summary.

    Args:
        label: the label of the data set.
        settings: the entry with which a suite reads the data, or an empty mapping if a suite names it.
        summary: what was read, and what the filters left.
    """

    label: str
    settings: Mapping[str, Any]
    summary: DataSummary

    def to_json(self) -> dict[str, Any]:
        """Returns the summary as plain JSON."""
        return {"label": self.label, "settings": _plain(self.settings), "summary": encode(self.summary)}


def inspect_data(path: Path, registry: Registry) -> list[Inspected]:
    """Returns the summaries of a file or a folder, or of all data sets of a suite.

    The format of a file is recognised by its content. A suite's name ends in .yaml.

    Raises:
        UserError: if the suite is wrong, or if the data cannot be read.
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
            inspected.append(Inspected(part.label, {}, data.summary))
        return inspected
    entry, cls, settings = recognise(path, registry)
    config = cls.Config.model_validate(settings).resolved()
    part = Part(registry.identity("dataset", entry), config, path.name)
    summary = prepare_data(part, SPLIT, registry, Path(), cache)[1].summary
    return [Inspected(path.name, {"name": registry.reference("dataset", entry)} | dict(settings), summary)]


def recognise(path: Path, registry: Registry) -> tuple[Entry, type[Dataset], Mapping[str, Any]]:
    """Returns the data set that reads a file or a folder, with its settings.

    Raises:
        UserError: if there is no such path, or if no data set recognises it.
    """
    if not path.exists():
        raise UserError("no such file", where=str(path))
    claims = []
    for entry in registry.entries["dataset"]:
        try:
            cls: type[Dataset] = registry.load_entry("dataset", entry)
        except UserError:  # robench plugins --check reports it
            continue
        settings = cls.recognise(path)
        if settings is not None:
            claims.append((entry, cls, settings))
    if not claims:
        hint = "name the data set and its settings in a suite, and inspect the suite"
        raise UserError("no data set recognises its format", where=str(path), hint=hint)
    return min(claims, key=lambda claim: claim[1].general)


def describe_inspected(one: Inspected) -> Iterator[str]:
    """Yields lines about a data set."""
    summary = one.summary
    yield f"{one.label}:"
    if one.settings:
        yield f"  read as: {_entry(one.settings)}"
    yield f"  rows: {summary.rows:,}"
    yield f"  dropped: {summary.low_ratings:,} below min_rating, {_repeats(summary)}"
    yield f"  dropped by filters on users and items: {summary.outside_core:,}"
    yield f"  left: {summary.interactions:,} interactions of {summary.users:,} users and {summary.items:,} items"
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
    """Returns what happened to repeated pairs."""
    kept = any(note.endswith("and are kept") for note in summary.notes)
    noun = "repeat" if summary.repeats == 1 else "repeats"
    return f"{summary.repeats:,} {noun} of a user-item pair" + (" (kept)" if kept else "")


def _entry(settings: Mapping[str, Any]) -> str:
    """Returns the settings as an entry of a suite."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in _plain(settings).items()) + "}"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with strings in place of paths."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in settings.items()}


def _scalar(value: object) -> str:
    """Returns a value as YAML."""
    plain = isinstance(value, str) and PLAIN.fullmatch(value) is not None and value not in WORDS
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
