"""Reviews what a pull request submits, and writes one comment about it.

    python tools/review.py submissions/whitebox.zip submissions/history.npz --out comment.md

A ``.zip`` file is a submission, and an ``.npz`` file is an artefact of a stronger attack. Each has the name of its
board: ``whitebox.zip`` is compared with ``results/whitebox``, if this folder exists. The exit code is 1 if a submission
disagrees with its own arrays or claims, or if an artefact is not stronger, and 2 if a file cannot be used.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from robench.api.errors import UserError
from robench.api.escapes import markdown_text
from robench.report.choices import Form
from robench.submission.requests import Request, answer
from robench.verify.rerun import Sample

ROOT = Path(__file__).resolve().parents[1]


def review(path: Path, boards: Path, sample: Sample) -> tuple[str, int]:
    """Returns the part of the comment about one file, and the exit code."""
    board = boards / path.stem
    try:
        if path.suffix == ".npz":
            lines, fine = answer(Request(board, attack=path), sample)
            lines = [f"## Artefact {markdown_text(path.name)}", "", *(f"- {markdown_text(line)}" for line in lines)]
        else:
            against = board if board.is_dir() else None
            lines, fine = answer(Request(None, path, against, Form.MD), sample)
    except UserError as error:
        return f"## {markdown_text(path.name)} cannot be used\n\n{markdown_text(str(error))}", 2
    return "\n".join(lines), int(not fine)


def main(arguments: list[str]) -> int:
    """Reviews all files, and returns the highest exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--boards", type=Path, default=ROOT / "results", help="the folder with the current boards")
    parser.add_argument("--sample", type=int, default=20, help="how many cells of a submission are measured again")
    parser.add_argument("--workers", type=int, help="worker processes")
    parser.add_argument("--out", type=Path, help="the file for the comment, instead of standard output")
    options = parser.parse_args(arguments)
    sample = Sample(options.sample, secrets.randbelow(1 << 32), options.workers)  # nobody knows the sample in advance
    parts, codes = zip(*(review(path, options.boards, sample) for path in options.files), strict=True)
    text = "\n\n".join(parts) + "\n"
    if options.out is None:
        print(text, end="")
    else:
        options.out.write_text(text, "utf-8")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
