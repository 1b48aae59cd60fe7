"""Builds a static site of many boards.

The command ``robench leaderboard --site`` uses this module, which never imports torch.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from robench.api.errors import UserError
from robench.entrance.pack import archive_cells
from robench.entrance.tables import read_folder
from robench.files.atomic import write_bytes, write_text
from robench.files.reading import read_file
from robench.files.writing import naming
from robench.host.registry import Registry
from robench.report.files import TABLE_FILES, published_files, write_tables
from robench.report.site import Card, build_card, order_cards, to_catalogue, to_start_page
from robench.report.site.docs import find_linked_pages, to_forwarding_page, to_missing_page
from robench.store.archive import Archive
from robench.store.folder import Store
from robench.store.npz import hash_arrays
from robench.tables.build import make_tables
from robench.tables.results import Results

CATALOGUE = "site.json"  # a folder with this file was written as a site, and may be replaced
BOARDS, DOCS = "boards", "docs"
NAME_LENGTH = 60  # the largest length of a board's folder name, without a digest
DIGEST_LENGTH = 8


@dataclass(frozen=True)
class Site:
    """A site on disk.

    Args:
        start: the path of the start page.
        cards: the cards of the boards, in the order of the start page.
    """

    start: Path
    cards: Sequence[Card]


def build_site(
    folders: Sequence[Path], out: Path, registry: Registry, docs: Path | None, say: Callable[[str], None]
) -> Site:
    """Computes the boards of all folders and writes them as one site.

    The folders are only read. The site is built beside ``out`` and then takes its place, so a failure changes nothing.

    Args:
        folders: the folders of results.
        out: the folder of the site, which must be new, empty, or an earlier site.
        registry: the plugins, of which only metrics are used.
        docs: the folder of the built documentation, or None if the site has none.
        say: a function that prints a line of progress.

    Raises:
        UserError: if a folder holds no results or damaged ones, if two folders hold the same board, if ``out`` cannot
            be written, or in the cases of ``check_place``.
    """
    check_place(folders, out, docs)
    with naming(out), _replacing(out) as new:
        places = [new / BOARDS / str(number) for number, _ in enumerate(folders)]
        cards = []
        for folder, place in zip(folders, places, strict=True):
            say(f"board: {folder}")
            cards.append(publish_board(folder, place, registry))
        named = name_boards(cards, folders)
        for card, place in zip(named, places, strict=True):
            place.rename(place.with_name(card.folder))
        if docs is not None:
            shutil.copytree(docs, new / DOCS)
        _write_linked_pages(new)
        ordered = order_cards(named)
        write_text(new / "index.html", to_start_page(ordered, f"{DOCS}/" if docs is not None else ""))
        write_text(new / CATALOGUE, to_catalogue(ordered))
    return Site(out / "index.html", ordered)


def _write_linked_pages(site: Path) -> None:
    """Writes a page for every link from a board to the documentation."""
    texts = (path.read_text(encoding="utf-8") for path in sorted((site / BOARDS).glob("*/index.html")))
    for page in find_linked_pages(texts):
        built = (site / DOCS / f"{page}.html").is_file()
        place = site / DOCS / f"{page}.md"
        place.mkdir(parents=True)
        write_text(place / "index.html", to_forwarding_page(page) if built else to_missing_page(page))


def check_place(folders: Sequence[Path], out: Path, docs: Path | None) -> None:
    """Checks that a site may replace the folder ``out``.

    Raises:
        UserError: if ``out`` holds other files, contains a folder that is read, or lies in one, or if ``docs`` has no
            index.html.
    """
    if out.exists() and not (out.is_dir() and (not any(out.iterdir()) or (out / CATALOGUE).is_file())):
        raise UserError("it holds files that are not a site", where=str(out), hint="give a new folder to --site")
    for folder in (*folders, *([] if docs is None else [docs])):
        if folder.resolve().is_relative_to(out.resolve()):
            raise UserError("the site would replace it", where=str(folder), hint="give another folder to --site")
        if out.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"it is inside {folder}, which is read", where=str(out), hint="give another --site")
    if docs is not None and not (docs / "index.html").is_file():
        raise UserError("no built documentation: index.html is missing", where=str(docs), hint="run mkdocs build")


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """Yields a new folder, which replaces ``out`` at the end of the block.

    If the block fails, the new folder is removed, and ``out`` stays as it was.
    """
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.absolute().parent))
    try:
        new, old = beside / "new", beside / "old"
        (new / BOARDS).mkdir(parents=True)
        yield new
        if out.exists():
            os.rename(out, old)
        os.rename(new, out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def publish_board(folder: Path, place: Path, registry: Registry) -> Card:
    """Writes a board in its published form and returns the board's card.

    The tables and the page are computed from the records and the arrays.

    Args:
        folder: the folder of results, which is only read.
        place: the folder to write, which must not exist.
        registry: the plugins, of which only metrics are used.

    Raises:
        UserError: if there are no results, or if a file is missing or damaged.
    """
    store = Store(folder)
    results = read_folder(folder, registry, store)
    _check(results)
    place.mkdir()
    for name in published_files(results.plan):
        if name not in TABLE_FILES:
            write_bytes(place / name, _read(folder / name))
    tables = make_tables(results)
    write_tables(tables, place)
    cells = archive_cells(store, results.plan, place)
    manifest = Archive(place).manifest
    return build_card(tables, folder="", root=manifest["root"], files=len(manifest["files"]), cells=len(cells))


def _check(results: Results) -> None:
    """Checks that no record is damaged, and that users.npz has the hash in the plan.

    Raises:
        UserError: if a check fails. The error names the first damaged record.
    """
    for error in results.damaged.values():
        raise error
    store, expected = results.store, results.plan.users_sha256
    if expected and hash_arrays(store.users()) != expected:
        raise UserError("its users were changed: their hash is not that of plan.json", where=str(store.folder))


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except FileNotFoundError:
        raise UserError("the file is missing", where=str(path), hint="run the suite again") from None


def name_boards(cards: Sequence[Card], folders: Sequence[Path]) -> list[Card]:
    """Returns cards with the names of the boards' folders.

    A name is the name of the suite in plain letters. If several boards would share a name, each name gets the first
    digits of the board's root digest.

    Raises:
        UserError: if two folders hold the same board.
    """
    plain = [_plain(card.suite) for card in cards]
    counts, by_name = Counter(plain), dict[str, Path]()
    named = []
    for card, name, folder in zip(cards, plain, folders, strict=True):
        full = name if counts[name] == 1 else f"{name}-{card.root[:DIGEST_LENGTH]}"
        if full in by_name:
            raise UserError(f"it holds the same board as {by_name[full]}", where=str(folder), hint="give one of them")
        by_name[full] = folder
        named.append(replace(card, folder=full))
    return named


def _plain(name: str) -> str:
    """Returns a name of lower-case letters, digits and hyphens, or ``board``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:NAME_LENGTH].strip("-") or "board"
