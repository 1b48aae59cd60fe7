"""Writes a review as Markdown, for a comment on a pull request."""

from __future__ import annotations

from robench.api.errors import in_lines
from robench.api.escapes import markdown_text
from robench.report.blocks import Bullets, Grid
from robench.report.markdown import to_lines
from robench.submission.changes import Changes
from robench.submission.review import Review, describe_hardware

TITLES = {
    "added": "Rows added",
    "removed": "Rows removed",
    "moved": "Rows that moved",
    "verdict": "Verdicts that changed",
    "value": "Values that changed",
    "flags": "Flags that changed",
}
MOST = 50  # the most lines of one list, because comments have a largest size


def to_comment(review: Review) -> str:
    """Returns a review as Markdown.

    Texts of the submission are inert: they contain no active HTML and no links.
    """
    details, findings = review.details, review.findings
    verdict = "nothing differs" if review.accepted else "**it disagrees with its own arrays or claims**"
    lines = [f"## Submission {markdown_text(review.name)}: {verdict}", ""]
    facts = [f"suite: {details.suite}", f"licence: {details.licence}", f"contact: {details.contact}"]
    lines += to_lines(Bullets([*facts, *describe_hardware(details), review.chance]))
    if findings.problems:
        lines += ["### Problems", "", *to_lines(Bullets(_cut(list(in_lines(findings.problems)))))]
    lines += ["### Checked", "", *to_lines(Bullets(_cut(findings.checked)))]
    notes = [*findings.notes, *(review.changes.notes if review.changes is not None else [])]
    if notes:
        lines += ["### Not compared", "", *to_lines(Bullets(_cut(list(in_lines(notes)))))]
    if review.changes is not None:
        lines += [f"### Against {markdown_text(str(review.against))}", "", *to_lines(f"{review.changes.summary()}.")]
        lines += _list_changes(review.changes)
    return "\n".join(lines).rstrip() + "\n"


def _list_changes(changes: Changes) -> list[str]:
    """Returns the lines of one Markdown table for each kind of change that occurs."""
    lines = []
    for kind, title in TITLES.items():
        body = [[change.row, change.before, change.after] for change in changes.changes if change.kind == kind]
        if body:
            more = [[f"and {len(body) - MOST} more", "", ""]] if len(body) > MOST else []
            grid = Grid(["row", "on the board", "in the submission"], [*body[:MOST], *more])
            lines += [f"#### {title}", "", *to_lines(grid)]
    return lines


def _cut(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST else [*lines[:MOST], f"and {len(lines) - MOST} more"]
