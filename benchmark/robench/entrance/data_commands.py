"""The commands of ``robench data``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from robench.api.terminal import say
from robench.host.discovery import Host
from robench.host.registry import Registry

data_app = typer.Typer(help="List, download and inspect data sets.")
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """List the data sets that can be downloaded.

    Every data set is shown with its licence, its source, the size and the checksum of its files, and the pages on which
    these facts were read.
    """
    from robench.entrance.datasets import describe_datasets, list_datasets  # noqa: PLC0415  # imports all data sets

    registry = Registry.of(Host.discover())
    if as_json:
        typer.echo(json.dumps(list_datasets(registry), indent=1))
        return
    for line in describe_datasets(registry):
        say(line)


@data_app.command("prepare")
def data_prepare(
    name: Annotated[str, typer.Argument(help="a data set of robench data list", show_default=False)],
    given: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="FILE|URL", help="take this file instead; repeat it for each file"),
    ] = None,
) -> None:
    """Download, check and unpack a data set.

    A suite can then name the data set. A download that breaks off continues at the next attempt.
    """
    from robench.entrance.datasets import prepare_dataset  # noqa: PLC0415  # as above

    for line in prepare_dataset(name, tuple(given or ()), Registry.of(Host.discover())):
        say(line)


@data_app.command("inspect")
def data_inspect(
    path: Annotated[Path, typer.Argument(metavar="FILE|SUITE", help="data, or a suite", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show what is read from a file, a folder, or the data sets of a suite.

    The format of a file or a folder is recognised.
    """
    from robench.entrance.data_inspection import (  # noqa: PLC0415  # may import torch
        describe_inspected,
        inspect_data,
        refuse_unusable,
    )

    inspected = inspect_data(path, Registry.of(Host.discover()))
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in inspected], indent=1))
    for line in () if as_json else (line for one in inspected for line in describe_inspected(one)):
        say(line)
    refuse_unusable(inspected)


@data_app.command("import-profiles")
def data_import_profiles(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="fake users of VAT, LoRec or ARLib", show_default=False)],
    targets: Annotated[
        str | None, typer.Option("--targets", metavar="IDS|FILE", help="the promoted items", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="the file to write")] = Path("profiles.json"),
) -> None:
    """Import the fake users that another tool has made.

    A suite can then use them in the attack imported-profiles, whose rows are never ranked.
    """
    from robench.entrance.profiles import import_profiles  # noqa: PLC0415  # numpy takes a moment

    for line in import_profiles(path, targets, out):
        say(line)
