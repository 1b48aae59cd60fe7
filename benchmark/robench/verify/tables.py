"""Computes every table again and compares it with the stored file."""

from __future__ import annotations

import re
from pathlib import Path

from robench.report.files import build_texts
from robench.report.page import to_page
from robench.store.archive import Archive
from robench.store.provenance import version_of
from robench.tables.build import Tables
from robench.verify.findings import Findings

_PICTURE = re.compile(r"<svg.*?</svg>", re.DOTALL)
_ACTIVE = re.compile(r"<\s*(script|foreignobject|iframe|image|use|a)\b|\son\w+\s*=|javascript:", re.IGNORECASE)


def check_tables(folder: Path, tables: Tables, findings: Findings) -> None:
    """Compares every file of the leaderboard with a new one from the stored cells.

    Files are compared byte by byte. The pictures of the page depend on the packages that drew them. If a packed folder
    names different versions of these packages, or if no pictures can be drawn here, the page is compared without
    pictures.

    Nothing is compared if a file of a cell is damaged, because no table can be computed without it.
    """
    if tables.damaged:
        findings.notes.append("tables, which have values of damaged files; get the folder again, or repeat robench run")
        return
    texts = build_texts(tables)
    page, note = _page(folder, tables)
    if note:
        findings.notes.append(f"the pictures of {folder / 'index.html'}: {note}")
        _compare_without_pictures(folder / "index.html", page, findings)
    else:
        texts["index.html"] = page
    for name, text in texts.items():
        _compare(folder / name, text, findings)
    findings.checked.append(f"tables: {', '.join(texts)}")


def _page(folder: Path, tables: Tables) -> tuple[str, str]:
    """Returns the expected page, and the reason why its pictures cannot be compared.

    The reason is empty if the whole pages can be compared. If the stored page has no pictures, the expected page has
    none either, because drawing may have failed when the page was written.
    """
    plain, path = to_page(tables, drawn=False), folder / "index.html"
    if path.is_file() and path.read_bytes() == plain.encode():
        return plain, ""
    page = to_page(tables)
    return page, "no pictures can be drawn here" if page == plain else _other_drawing(folder)


def _compare_without_pictures(path: Path, page: str, findings: Findings) -> None:
    """Compares the stored page with the expected page, apart from the pictures.

    A stored picture with active content, such as a script, is a problem.
    """
    stored = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if _PICTURE.sub("", stored) != _PICTURE.sub("", page) or any(map(_ACTIVE.search, _PICTURE.findall(stored))):
        findings.refuse(str(path), "not what the stored cells give, apart from the pictures")


def _other_drawing(folder: Path) -> str:
    """Describes the drawing packages that have different versions on this machine.

    The result is empty if there are none, or if the folder is not packed.
    """
    if not Archive.is_in(folder):
        return ""
    versions = {name: part for name, part in Archive(folder).manifest["versions"].items() if name != "robench"}
    other = [f"{name} {part}, here {version_of(name)}" for name, part in versions.items() if part != version_of(name)]
    return f"drawn with {'; '.join(other)}" if other else ""


def _compare(path: Path, text: str, findings: Findings) -> None:
    try:
        stored = path.read_bytes()
    except OSError as error:
        findings.refuse(str(path), f"cannot be read: {error.strerror}")
        return
    expected = text.encode()
    if stored == expected:
        return
    lines = zip(stored.splitlines(), expected.splitlines(), strict=False)
    number = next((number for number, (one, two) in enumerate(lines, 1) if one != two), None)
    place = f"{path}:{number}" if number else str(path)
    findings.refuse(place, "not what the stored cells give; robench leaderboard writes it anew")
