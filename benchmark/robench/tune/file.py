"""Keeps the trials of a search in a file, so that a killed search can be resumed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robench.api.codec import encode
from robench.api.errors import UserError
from robench.files.atomic import write_bytes
from robench.files.writing import naming
from robench.suite.trials import Trial, TrialsHeader, parse_trials, same_settings, to_line
from robench.tune.subjects import Subject

FRESH = "--fresh begins a new file"


class TrialsFile:
    """The file of trials of one search.

    Args:
        path: the file.
        header: the header that the file must have.
        fresh: whether the trials of an earlier search are dropped.

    Raises:
        UserError: if the file holds another search, is damaged, or cannot be written.
    """

    def __init__(self, path: Path, header: TrialsHeader, *, fresh: bool) -> None:
        self.path, self.header = path, header
        self.trials: dict[tuple[str, str, int], Trial] = {}
        content = b"" if fresh or not path.exists() else _whole_lines(path.read_bytes())
        if content:
            self._load(content)
        with naming(path.parent):
            write_bytes(path, content or to_line(header).encode())

    def _load(self, content: bytes) -> None:
        known, trials = parse_trials(content, str(self.path))
        if (difference := _difference(known, self.header)) is not None:
            problem = f"its trials have another {difference}"
            raise UserError(problem, where=str(self.path), hint=FRESH)
        self.trials = {(trial.kind, trial.label, trial.number): trial for trial in trials}

    def add(self, trial: Trial) -> None:
        """Appends a trial and flushes the line to the disk."""
        self.trials[trial.kind, trial.label, trial.number] = trial
        with naming(self.path.parent), self.path.open("ab") as file:
            file.write(to_line(trial).encode())
            file.flush()
            os.fsync(file.fileno())

    def check(self, subject: Subject) -> None:
        """Checks that the stored trials of a subject belong to the same search.

        Raises:
            UserError: if the component, the values of its fixed settings, or the set of searched settings has changed.
        """
        for trial in self.of(subject):
            same = trial.name == subject.part.name and same_settings(trial.fixed, subject.fixed())
            if not same or {*trial.settings} != {*subject.axes}:
                problem = f"its trials of {subject.label} have other settings that are not searched"
                raise UserError(problem, where=str(self.path), hint=FRESH)

    def of(self, subject: Subject) -> list[Trial]:
        """Returns the trials of a subject, sorted by number."""
        mine = [t for t in self.trials.values() if (t.kind, t.label) == (subject.kind, subject.label)]
        return sorted(mine, key=lambda trial: trial.number)

    def finish(self, subjects: Sequence[Subject], count: int) -> bytes:
        """Writes the first ``count`` trials of every subject, in order.

        Trials of components that the suite no longer has, and trials beyond ``count``, are dropped.

        Returns:
            The content of the file.
        """
        rows = [trial for subject in subjects for trial in self.of(subject)[:count]]
        content = "".join([to_line(self.header), *map(to_line, rows)]).encode()
        with naming(self.path.parent):
            write_bytes(self.path, content)
        return content


def _whole_lines(content: bytes) -> bytes:
    """Returns the content up to the last line break.

    A killed process may leave half a line.
    """
    return content[: content.rfind(b"\n") + 1]


def _difference(known: TrialsHeader, header: TrialsHeader) -> str | None:
    """Returns the first field in which two headers differ, or None.

    The version of robench does not count.
    """
    one, two = encode(replace(known, robench="")), encode(replace(header, robench=""))
    return next((name.replace("_", " ") for name in two if one.get(name) != two[name]), None)
