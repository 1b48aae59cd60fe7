"""Makes a submission from a folder of results."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from robench.api.errors import UserError, counted
from robench.entrance.pack import pack_results
from robench.files.atomic import write_text
from robench.files.writing import naming
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.archive import Archive
from robench.submission.archive import write_zip
from robench.submission.claims import read_claims
from robench.submission.details import DETAILS, collect_hardware, make_details, to_text
from robench.verify.folder import verify_results
from robench.verify.rerun import Sample


@dataclass(frozen=True)
class Submission:
    """A submission that was written.

    Args:
        path: the file or the folder of the submission.
        cells: the number of cells.
        claims: the number of claims.
        size: the size of the files in bytes.
    """

    path: Path
    cells: int
    claims: int
    size: int


def submit(folder: Path, licence: str, contact: str, claims: Path | None, out: Path | None) -> Submission:
    """Verifies and packs a folder of results, and adds SUBMISSION.json.

    No cell is measured again. In the folder itself, only the tables are rebuilt.

    Args:
        folder: the folder of results, which may be packed.
        licence: the licence of the results.
        contact: the e-mail address or the web page of the author.
        claims: a file with the values that the author reports, or None.
        out: a new .zip file, or a new or empty folder. The default is a .zip file with the name of the suite, in the
            current folder.

    Raises:
        UserError: if the folder is incomplete or cannot be verified, if an argument is wrong, or if the submission
            cannot be written.
    """
    make_details("", "0" * 64, licence, contact, [], [])  # a mistake in these ends before the verification
    host = Host.discover()
    verification = verify_results(folder, Sample(0), host)
    problems = verification.findings.problems
    if problems:
        more = f" (and {counted(len(problems) - 1, 'more problem')})" if len(problems) > 1 else ""
        hint = f"robench verify {folder} lists all problems"
        raise UserError(f"not submitted: {problems[0]}{more}", where=str(folder), hint=hint)
    given = [] if claims is None else read_claims(claims, verification.tables)
    target = Path(f"{verification.results.plan.suite}.zip") if out is None else out
    if target.exists() and (target.is_file() or any(target.iterdir())):
        raise UserError("it already exists", where=str(target), hint="give another --out")
    records = verification.results.records
    with TemporaryDirectory(prefix="robench-submit-") as place, naming(target.parent):
        packed = Path(place) / "packed"
        packing = pack_results(folder, Registry.of(host), packed)
        root = Archive(packed).manifest["root"]
        hardware = collect_hardware(records.values())
        details = make_details(verification.results.plan.suite, root, licence, contact, hardware, given)
        write_text(packed / DETAILS, to_text(details))
        if target.suffix == ".zip":
            target.parent.mkdir(parents=True, exist_ok=True)
            write_zip(packed, target)
        else:
            shutil.copytree(packed, target, dirs_exist_ok=True)
    files = [target] if target.is_file() else [one for one in target.rglob("*") if one.is_file()]
    return Submission(target, packing.cells, len(given), sum(one.stat().st_size for one in files))
