"""Reviews a submission, for ``robench verify --submission``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError, counted, in_lines
from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import published_files
from robench.store.archive import Archive
from robench.store.external import external_files
from robench.store.plan_file import read_plan
from robench.submission.archive import list_files, opened
from robench.submission.changes import Changes, compare_boards
from robench.submission.claims import compare_claims
from robench.submission.details import DETAILS, Details, collect_hardware, read_details
from robench.tables.build import make_tables
from robench.verify.findings import Findings
from robench.verify.folder import Verification, verify_results
from robench.verify.rerun import Sample, choose_measured


@dataclass(frozen=True, eq=False)
class Review:
    """The review of one submission.

    Args:
        name: the name of the file or the folder.
        details: the content of SUBMISSION.json.
        findings: what the verification found. Claims that are not met count as problems.
        chance: a sentence on what the sample of cells can find.
        changes: the differences from the current board, or None if no board was given.
        against: the current board, or None.
    """

    name: str
    details: Details
    findings: Findings
    chance: str
    changes: Changes | None
    against: Path | None

    @property
    def accepted(self) -> bool:
        """True if the verification found no problem."""
        return not self.findings.problems


def review_submission(path: Path, sample: Sample, against: Path | None) -> Review:
    """Reviews a submission.

    Every table is computed from the arrays of the submission. The submitted tables are only compared with the computed
    ones. A sample of the cells is measured again.

    Args:
        path: the file or the folder of the submission.
        sample: the cells to measure again.
        against: the folder of the current board, or None.

    Raises:
        UserError: if the file or folder is not a submission, if it is hostile or cannot be read, or if it does not
            belong to the suite of the board.
    """
    host = Host.discover()
    with opened(path) as folder:
        details = read_details(folder)
        _check_files(folder)
        board = None if against is None else read_folder(against, Registry.of(host))
        if board is not None and board.plan.suite != details.suite:
            problem = f"the submission is of the suite '{details.suite}', and {against} is of '{board.plan.suite}'"
            raise UserError(problem, where=str(path), hint="--against names the board")
        verification = verify_results(folder, sample, host)
        findings = verification.findings
        _check_details(details, folder, verification)
        met, unmet = compare_claims(details.claims, verification.tables, verification.results)
        findings.checked += met
        findings.problems += unmet
        changes = None
        if board is not None:
            pair = verification.results, verification.tables
            changes = compare_boards(*pair, board, make_tables(board), str(path))
        _shorten_paths(findings, folder, path)
        chance = describe_chance(len(choose_measured(verification.results, Registry.of(host))), sample.count)
        return Review(path.name, details, findings, chance, changes, against)


def describe_chance(cells: int, drawn: int | None) -> str:
    """Returns a sentence on the chance that the sample finds a wrong cell.

    If n of N cells are measured again, m wrong cells all stay outside the sample with the probability
    C(N − m, n) / C(N, n).

    Args:
        cells: the number of measured cells, N.
        drawn: the number of cells that are measured again, n, or None for all.
    """
    if not cells or drawn is None or drawn >= cells:
        return f"all {counted(cells, 'cell')} were measured again"
    shares = [max(1, round(share * cells)) for share in (0.01, 0.1)]
    numbers = dict.fromkeys([1, *shares])
    chances = [f"{_find_chance(cells, drawn, wrong):.1%} for {counted(wrong, 'wrong cell')}" for wrong in numbers]
    return f"a sample of {drawn} of {cells} cells finds a wrong cell with a probability of {', '.join(chances)}"


def _find_chance(cells: int, drawn: int, wrong: int) -> float:
    """Returns the probability that a sample contains at least one wrong cell."""
    missed = 1.0
    for number in range(wrong):
        missed *= max(0, cells - drawn - number) / (cells - number)
    return 1 - missed


def _check_files(folder: Path) -> None:
    """Checks that a submission has SUBMISSION.json and the files of a packed folder.

    Raises:
        UserError: if a file is missing or does not belong to a submission, or if there is a link or a special file.
    """
    plan = read_plan(folder)
    expected = {*published_files(plan), *external_files(folder), *Archive.FILES, DETAILS}
    names = set(list_files(folder))
    for name in sorted(expected - names):
        raise UserError(f"{name} is missing: the submission is incomplete", where=folder.name)
    for name in sorted(names - expected):
        raise UserError(f"{name[:200]!a} does not belong to a submission", where=folder.name)


def _check_details(details: Details, folder: Path, verification: Verification) -> None:
    """Compares SUBMISSION.json with the results that it describes."""
    findings, where = verification.findings, str(folder / DETAILS)
    with findings.checking():
        if details.suite != verification.results.plan.suite:
            findings.refuse(where, f"it names the suite '{details.suite}', and plan.json names another")
        if details.root != Archive(folder).manifest["root"]:
            findings.refuse(where, "it belongs to other results: its root is not that of MANIFEST.json")
        if details.hardware != collect_hardware(verification.results.records.values()):
            findings.refuse(where, "its hardware is not that of the records")
        findings.checked.append("SUBMISSION.json: suite, root and hardware are those of the results")


def _shorten_paths(findings: Findings, folder: Path, path: Path) -> None:
    """Replaces the path of the temporary folder with that of the submission."""
    for lines in (findings.problems, findings.notes, findings.checked):
        lines[:] = [line.replace(f"{folder}/", f"{path}/").replace(str(folder), str(path)) for line in lines]


def review_lines(review: Review) -> list[str]:
    """Returns the lines of a review for a terminal."""
    details, findings = review.details, review.findings
    lines = [f"submission: {review.name}, suite {details.suite}"]
    lines += [f"licence: {details.licence}; contact: {details.contact}", *describe_hardware(details)]
    lines += findings.lines()[:-1]
    lines.append(review.chance)
    if review.changes is not None:
        lines += [f"not compared: {note}" for note in in_lines(review.changes.notes)]
        lines += [
            f"{change.kind}: {change.row}: {_words(change.before, change.after)}" for change in review.changes.changes
        ]
        lines.append(f"against {review.against}: {review.changes.summary()}")
    return [*lines, findings.lines()[-1]]


def describe_hardware(details: Details) -> list[str]:
    """Returns one line for each machine."""
    return [
        f"hardware: {one.processor or 'unknown processor'}, {one.platform}, {one.device}, "
        f"{counted(one.threads, 'thread')}: {counted(one.cells, 'cell')}"
        for one in details.hardware
    ]


def _words(before: str, after: str) -> str:
    return f"{before} → {after}" if before and after else before or after
