"""Reads and writes the file of trials, for ``robench tune``.

The file has JSON lines. The first line is the header, and each further line is one trial.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from robench.api.codec import IF_SET, decode, encode
from robench.api.digest import canonical
from robench.api.errors import UserError
from robench.files.reading import parse_json
from robench.spec import OWN_STRENGTHS, Part

FORMAT_VERSION = 1
CRITERION = "validation ndcg@10"


@dataclass(frozen=True)
class TrialsHeader:
    """The facts that all trials of a file share.

    Args:
        format_version: the version of the file format.
        suite: the name of the suite.
        criterion: the value by which settings are chosen.
        dataset: the content of the data set, which identifies it.
        split: the content of the split.
        data_sha256: the digest of the prepared data.
        seed: the seed of every fit.
        search_seed: the seed from which the settings are drawn.
        threads: the number of threads of every fit.
        robench: the version of robench that began the file.
    """

    format_version: int
    suite: str
    criterion: str
    dataset: Mapping[str, object]
    split: Mapping[str, object]
    data_sha256: str
    seed: int
    search_seed: int
    threads: int
    robench: str


@dataclass(frozen=True)
class Trial:
    """Settings of a model or a defence, and the validation value that they gave.

    Args:
        kind: the kind of the component.
        label: the label of the component in the suite.
        name: the identity of the component.
        number: the number of the trial. Trial 0 has the settings of the suite.
        settings: the searched settings.
        fixed: the other settings. λ and ε of a defence are left out, because the searched settings are the same for all
            λ and ε.
        value: the mean validation NDCG@10 of all fits, or None if a fit failed.
        seconds: the sum of the seconds of all fits.
        fits: the value of each fit, by the id of the victim.
        error: the reason for a failure, on one line.
    """

    kind: Literal["model", "defense"]
    label: str
    name: str
    number: int
    settings: Mapping[str, object]
    fixed: Mapping[str, object]
    value: float | None
    seconds: float
    fits: Mapping[str, object] = field(default_factory=dict)
    error: str = field(default="", metadata=IF_SET)


def to_line(row: TrialsHeader | Trial) -> str:
    """Returns a header or a trial as one line of the file."""
    return json.dumps(encode(row), ensure_ascii=False, allow_nan=False) + "\n"


def parse_trials(content: bytes, where: str) -> tuple[TrialsHeader, list[Trial]]:
    """Parses a file of trials.

    Raises:
        UserError: if the content is not a file of trials in this format, if a trial occurs twice, or if the value of a
            trial is outside [0, 1].
    """
    try:
        lines = content.decode("utf-8").splitlines()
        rows = [parse_json(line.encode(), f"{where}:{number}") for number, line in enumerate(lines, 1)]
        header, trials = decode(TrialsHeader, rows[0]), [decode(Trial, row) for row in rows[1:]]
    except (IndexError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise UserError(f"not a file of trials: {error}", where=where) from None
    if header.format_version != FORMAT_VERSION or header.criterion != CRITERION:
        raise UserError(f"not a file of trials by {CRITERION} of format {FORMAT_VERSION}", where=where)
    known: set[tuple[str, str, int]] = set()
    for line, trial in enumerate(trials, 2):
        key = trial.kind, trial.label, trial.number
        if key in known or (trial.value is not None and not 0 <= trial.value <= 1):
            raise UserError("a trial that occurs twice, or has an impossible value", where=f"{where}:{line}")
        known.add(key)
    return header, trials


def choose(trials: Iterable[Trial]) -> Trial | None:
    """Returns the trial with the best value, or None if every trial failed.

    If several trials have the best value, the result is the earliest one.
    """
    able = [trial for trial in trials if trial.value is not None]
    return min(able, key=lambda trial: (-(trial.value or 0.0), trial.number), default=None)


def fixed_settings(kind: str, part: Part, searched: Iterable[str]) -> dict[str, Any]:
    """Returns the settings of a part that a search does not change.

    λ and ε of a defence are left out.
    """
    left = {*searched, *(OWN_STRENGTHS if kind == "defense" else ())}
    return {name: value for name, value in part.config.items() if name not in left}


def same_settings(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Returns whether two mappings hold the same settings."""
    return canonical(dict(one)) == canonical(dict(other))


def mean_value(values: Iterable[float | None]) -> float | None:
    """Returns the mean value of several fits, or None.

    The result is None if there are no fits, or if a value is None or NaN.
    """
    known = list(values)
    if not known or any(value is None or math.isnan(value) for value in known):
        return None
    return float(sum(value for value in known if value is not None) / len(known))
