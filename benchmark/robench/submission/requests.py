"""Answers the requests of the command ``robench verify``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError
from robench.api.escapes import visible
from robench.report.choices import Form
from robench.submission.attack import score_attack
from robench.submission.comment import to_comment
from robench.submission.review import review_lines, review_submission
from robench.verify.folder import verify_folder
from robench.verify.rerun import Sample


@dataclass(frozen=True)
class Request:
    """The arguments of one call of ``robench verify``.

    Args:
        folder: a folder of results, or None if a submission is reviewed.
        submission: a submission, or None.
        against: the board with which the submission is compared, or None.
        form: the format of a review, ``text`` or ``md``.
        attack: an artefact to score against a victim of the folder, or None.
        keep: whether to store the artefact in the folder if it is stronger than the stored attack.
    """

    folder: Path | None
    submission: Path | None = None
    against: Path | None = None
    form: Form = Form.TEXT
    attack: Path | None = None
    keep: bool = False


def answer(request: Request, sample: Sample) -> tuple[list[str], bool]:
    """Verifies what is requested.

    Returns:
        The lines to print, and whether no problem was found. For an artefact, the second value states whether the
        artefact is stronger than the stored attack.

    Raises:
        UserError: if options contradict each other, or if the input cannot be used.
    """
    if request.form not in (Form.TEXT, Form.MD):
        raise UserError("a review is text or md", path="--format")
    if request.submission is None:
        if request.folder is None:
            raise UserError("nothing to verify", path="DIR", hint="name a folder of results, or --submission FILE")
        if request.against is not None or request.form is not Form.TEXT:
            raise UserError("this needs --submission", path="--against, --format")
        if request.attack is not None:
            return score_attack(request.folder, request.attack, sample.data, keep=request.keep)
        if request.keep:
            raise UserError("this needs --attack", path="--keep")
        findings = verify_folder(request.folder, sample)
        return findings.lines(), not findings.problems
    if request.attack is not None or request.keep:
        raise UserError("an artefact is scored against a folder", path="--attack", hint="robench verify DIR --attack F")
    if request.folder is not None:
        problem = "a folder and a submission are not verified together"
        raise UserError(problem, path="DIR, --submission", hint="--against DIR names the current board")
    review = review_submission(request.submission, sample, request.against)
    if request.form is Form.MD:
        return to_comment(review).rstrip("\n").split("\n"), review.accepted
    return [visible(line) for line in review_lines(review)], review.accepted
