"""Lists and prepares data sets from the web.

The commands ``robench data list`` and ``robench data prepare`` use this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from robench.api.dataset import Dataset
from robench.api.errors import UserError, did_you_mean
from robench.api.terminal import Terminal
from robench.files.cache import Cache, default_folder
from robench.files.http import Report
from robench.files.sizes import format_size
from robench.files.source_data import SourceData, find_source_data, is_address, match_origins, prepare_source_data
from robench.host.registry import Registry


@dataclass(frozen=True)
class KnownDataset:
    """A data set that can be downloaded.

    Args:
        name: the reference, by which a suite names the data set.
        identity: the identity, by which the cache finds the prepared files.
        cls: the class of the data set.
    """

    name: str
    identity: str
    cls: type[Dataset]

    @property
    def about(self) -> str:
        """The first line of the class's docstring."""
        return (self.cls.__doc__ or "").strip().partition("\n")[0]

    def facts(self, cache: Cache) -> dict[str, Any]:
        """Returns the name, licence, source, downloads and files as a mapping for JSON."""
        found = _find(cache, self.identity)
        return {
            "name": self.name,
            "about": self.about,
            "licence": self.cls.licence,
            "source": self.cls.source,
            "downloads": [asdict(one) | {"read_at": list(one.read_at)} for one in self.cls.downloads],
            "folder": str(found.folder) if found else None,
            "files": [asdict(one) for one in found.files] if found else [],
        }


def known_datasets(registry: Registry) -> Iterator[KnownDataset]:
    """Yields the data sets that can be downloaded, in the order of the registry.

    Data sets that cannot be imported are left out. ``robench plugins --check`` reports such data sets.
    """
    for entry in registry.entries["dataset"]:
        try:
            cls: type[Dataset] = registry.load_entry("dataset", entry)
        except UserError:
            continue
        if cls.downloads:
            yield KnownDataset(registry.reference("dataset", entry), registry.identity("dataset", entry), cls)


def list_datasets(registry: Registry) -> list[dict[str, Any]]:
    """Returns the facts about every data set that can be downloaded, for JSON."""
    cache = Cache(default_folder())
    return [one.facts(cache) for one in known_datasets(registry)]


def describe_datasets(registry: Registry) -> Iterator[str]:
    """Yields lines that describe every data set that can be downloaded."""
    cache = Cache(default_folder())
    for known in known_datasets(registry):
        found = _find(cache, known.identity)
        yield f"{known.name}: {known.about}"
        yield f"  source: {known.cls.source}"
        yield f"  licence: {known.cls.licence}"
        for one in known.cls.downloads:
            yield f"  file: {one.url}, {'size not known' if one.size is None else format_size(one.size)}"
            if one.checksum:
                yield f"    {one.checksum.replace(':', ' ')}"
            else:
                yield "    no checksum is published: the sha256 of your first download is kept"
            for place in one.read_at:
                yield f"    read at {place}"
        if found is None:
            yield f"  not on this machine: robench data prepare {known.name}"
        else:
            yield f"  here: {found.folder}"
            yield from (f"    {one.name}: sha256 {one.sha256}" for one in found.files)


def prepare_dataset(name: str, given: Sequence[str], registry: Registry) -> list[str]:
    """Downloads and unpacks the files of a data set, and returns lines about them.

    If the files are already on this machine and ``given`` is empty, nothing is downloaded.

    Args:
        name: the name of the data set.
        given: paths or addresses of files that replace the declared downloads.
        registry: the plugins.

    Raises:
        UserError: if the data set is unknown, has no files on the web, or cannot be prepared.
    """
    entry = registry.find("dataset", name)
    cls: type[Dataset] = registry.load_entry("dataset", entry)
    if not cls.downloads:
        known = [one.name for one in known_datasets(registry)]
        raise UserError(f"{name} has no files on the web", hint=did_you_mean(name, known))
    identity = registry.identity("dataset", entry)
    cache = Cache(default_folder())
    before = _find(cache, identity)
    if before and not given:
        return [f"{name} is here already: {before.folder}", *_describe_files(before)]
    with _progress() as bar:
        try:
            prepared = prepare_source_data(cache, identity, cls.downloads, given, lambda file: _reporter(bar, file))
        except UserError as error:
            raise _with_advice(error, name, given, cls) from None
    lines = [f"{name} is in {prepared.folder}", *_describe_files(prepared)]
    if before and before.folder != prepared.folder:
        lines.append(f"the files differ from those before, which are in {before.folder}: run measures again")
    return [
        *lines,
        f"licence: {cls.licence}",
        f"in a suite: datasets: [{{name: {registry.reference('dataset', entry)}}}]",
    ]


def _find(cache: Cache, identity: str) -> SourceData | None:
    """Returns a data set's prepared files, or None if they are missing or damaged."""
    try:
        return find_source_data(cache, identity)
    except UserError:
        return None


def _describe_files(found: SourceData) -> Iterator[str]:
    """Yields a line about the size and the checksum of every downloaded file."""
    for one in found.files:
        state = (
            f"its {one.checked.partition(':')[0]} is the published one" if one.checked else "no checksum is published"
        )
        yield f"{one.name}: {format_size(one.size)}, sha256 {one.sha256}, {state}"


def _with_advice(error: UserError, name: str, given: Sequence[str], cls: type[Dataset]) -> UserError:
    """Adds advice to an error if a download failed and returns the error.

    The advice says how to prepare the data set with files that were downloaded in another way.
    """
    addresses = [one for one in match_origins(cls.downloads, given) if is_address(one)] if not error.path else []
    if error.where in addresses and not error.hint:
        options = " ".join(f"--from {one.name}" for one in cls.downloads)
        files = " and ".join(one.url for one in cls.downloads)
        error.hint = f"or download {files} in a browser, and run: robench data prepare {name} {options}"
    return error


def _progress() -> Progress:
    """Returns a progress bar for downloads, which is shown on standard error."""
    console = Terminal(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)


def _reporter(bar: Progress, name: str) -> Report:
    """Adds a file to a progress bar and returns a function that reports progress."""
    task = bar.add_task(name, total=None)

    def report(done: int, total: int | None) -> None:
        bar.update(task, completed=done, total=total)

    return report
