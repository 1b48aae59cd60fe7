"""Checks what a suite says about the search for its settings (the key ``tuned``).

A claim counts only with its file of trials. The file must have the stated hash and the same number of trials for every
component. A component counts as tuned only if its settings are those of its best trial.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError, counted
from robench.files.reading import read_file
from robench.spec import NO_DEFENSE, Part
from robench.store.plan_file import OTHER_DATA, PlannedTuning
from robench.suite.mistakes import Mistakes
from robench.suite.schema import TunedEntry
from robench.suite.trials import Trial, TrialsHeader, choose, fixed_settings, parse_trials, same_settings

KEY = ("tuned",)


@dataclass(frozen=True, eq=False)
class Tuning:
    """The search that chose a suite's settings. Its claims have been checked.

    Args:
        content: the bytes of the file of trials.
        planned: what plan.json says about the search.
    """

    content: bytes
    planned: PlannedTuning


def read_tuning(
    entry: TunedEntry,
    folder: Path,
    datasets: Sequence[Part],
    split: Part,
    parts: Mapping[str, Sequence[Part]],
    mistakes: Mistakes,
) -> Tuning | None:
    """Checks a claim by comparing its file of trials with the suite.

    Args:
        entry: the claim, which is the value of the key ``tuned``.
        folder: the folder of the suite.
        datasets: the data sets of the suite.
        split: the split of the suite.
        parts: the models and the defences of the suite, by kind.
        mistakes: the list to which mistakes are added.

    Returns:
        The checked claim, or None if the claim is refused.
    """
    path = folder / entry.file
    try:
        content = read_file(path)
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise UserError("the file is not the one that the suite was made from: its sha256 differs")
        header, trials = parse_trials(content, str(path))
    except (OSError, UserError) as error:
        reason = f"{error.strerror}: {path}" if isinstance(error, OSError) else error.problem
        hint = "robench tune writes the suite and the file together; without the key, the suite is not tuned"
        mistakes.add(reason or "cannot be read", (*KEY, "file"), hint)
        return None
    groups: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        groups[trial.kind, trial.label].append(trial)
    for (_, label), some in groups.items():
        if sorted(trial.number for trial in some) != list(range(entry.trials)):
            problem = f"{label} has {counted(len(some), 'trial')} and not {entry.trials}, the same number for all"
            mistakes.add(problem, (*KEY, "trials"))
            return None
    elsewhere = "" if _same_data(header, datasets, split) else OTHER_DATA
    chosen: dict[str, None] = {}
    untuned: dict[str, str] = {}
    for kind, some_parts in parts.items():
        for part in some_parts:
            if part.content() == NO_DEFENSE.content():
                continue
            reason = elsewhere or _difference(kind, part, groups.get((kind, part.label), []))
            if reason:
                untuned[part.label] = reason
            else:
                chosen[part.label] = None
    labels = tuple(label for label in chosen if label not in untuned)
    planned = PlannedTuning(
        entry.trials, entry.sha256, header.seed, header.search_seed, labels, untuned, header.data_sha256
    )
    return Tuning(content, planned)


def _same_data(header: TrialsHeader, datasets: Sequence[Part], split: Part) -> bool:
    return len(datasets) == 1 and all(
        same_settings(known, part.content()) for known, part in ((header.dataset, datasets[0]), (header.split, split))
    )


def _difference(kind: str, part: Part, trials: Sequence[Trial]) -> str:
    """Returns the reason why a part does not count as tuned, or an empty string."""
    best = choose(trials)
    if best is None:
        return "no trials"
    # A setting that was added later is missing in the resolved settings if it has its default.
    settings = {name: part.config.get(name, part.passed.get(name)) for name in best.settings}
    fixed = fixed_settings(kind, part, best.settings)
    if best.name != part.name or not same_settings(settings, best.settings) or not same_settings(fixed, best.fixed):
        return "other settings than its best trial"
    return ""
