"""Writes a submission as one file and opens submissions, which may be hostile."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from robench.api.errors import UserError
from robench.files.atomic import replacing
from robench.files.unpacking import is_archive, unpack

_TIME = (1980, 1, 1, 0, 0, 0)  # so that equal submissions are equal files


def write_zip(folder: Path, path: Path) -> None:
    """Writes all files of a folder to a .zip file.

    The same files give the same bytes.

    Args:
        folder: the folder.
        path: the .zip file, which is replaced if it exists.
    """
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(part for part in folder.rglob("*") if part.is_file()):
            info = zipfile.ZipInfo(one.relative_to(folder).as_posix(), _TIME)
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o100644 << 16
            archive.writestr(info, one.read_bytes())


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """Yields the folder of a submission.

    An archive is unpacked into a temporary folder by ``unpack``, which refuses hostile archives. The temporary folder
    is deleted after the block.

    Args:
        path: a folder, or a .zip or .tar file.

    Raises:
        UserError: if there is no such file or folder, or if the file is not an archive, or is damaged or hostile.
    """
    if path.is_dir():
        yield path
        return
    if not path.is_file():
        raise UserError("no such file or folder", where=str(path), hint="robench submit makes a submission")
    if not is_archive(path):
        raise UserError("not a submission", where=str(path), hint="a folder, or a .zip or .tar file is needed")
    with TemporaryDirectory(prefix="robench-submission-") as place:
        folder = Path(place) / path.name
        folder.mkdir()
        unpack(path, folder)
        yield folder


def list_files(folder: Path) -> list[str]:
    """Returns the relative paths of all files in a folder.

    Raises:
        UserError: if the folder contains a link or another special file.
    """
    names = []
    for one in sorted(folder.rglob("*")):
        if one.is_symlink() or not (one.is_file() or one.is_dir()):
            raise UserError("a link or a special file, which no submission has", where=str(one))
        if one.is_file():
            names.append(one.relative_to(folder).as_posix())
    return names
