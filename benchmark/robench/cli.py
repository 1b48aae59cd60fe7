"""The commands of the command line.

Each command reads its options, calls the package that does the work, and prints the result.
"""

from __future__ import annotations

import gc
import re
import secrets
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from robench import __version__
from robench.api.errors import UserError, counted
from robench.api.terminal import say, screen
from robench.entrance.cache_commands import cache_app
from robench.entrance.data_commands import data_app
from robench.entrance.plugin_commands import new_plugin, plugins
from robench.entrance.signals import describe_interruption, exit_code, interrupting_signals
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.choices import Form, Published, Shown


class Commands(typer.core.TyperGroup):
    """The group of all commands.

    A command that a signal interrupts prints one line, and ends with the exit code of this signal.
    """

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that the user has given."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            say(describe_interruption(error), err=True)
            raise typer.Exit(exit_code(error)) from None


app = typer.Typer(
    name="robench",
    cls=Commands,
    help="Measure how far recommender systems fall under attack, the same way for every model, attack and defence.",
    pretty_exceptions_enable=False,
    add_completion=False,
)
OBJECTS = 100_000  # the number of new objects after which Python looks for unused reference cycles
OPTION_ERROR: type[Exception] = typer.BadParameter.__mro__[2]  # the base class of typer's option errors
SuiteFile = Annotated[Path, typer.Argument(help="the suite, a YAML file", show_default=False)]
Results = Annotated[Path | None, typer.Option("--results", help="folder for the results [default: results/<suite>]")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="a.b=c", help="override a setting of the suite")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="KEY=VALUE", help="only cells that match")]
Workers = Annotated[int | None, typer.Option(help="worker processes [default: cores]")]
ExecutorName = Annotated[str, typer.Option("--executor", help="where victims are fitted")]
Scheduler = Annotated[str | None, typer.Option(metavar="tcp://HOST:PORT", help="join this scheduler's dask cluster")]
TablesShown = Annotated[Shown, typer.Option("--tables", help="what the text shows")]
Format = Annotated[Form, typer.Option("--format", help="the format of the tables on standard output")]
Folder = Annotated[Path, typer.Argument(help="a folder of results", show_default=False)]


@app.command()
def run(
    suite: SuiteFile,
    results: Results = None,
    workers: Workers = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    set_: Set = None,
    only: Only = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="measure stored cells again")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="allow what models may spend at services")] = False,
    tables: TablesShown = Shown.HEADLINE,
    form: Format = Form.TEXT,
) -> None:
    """Run a suite and write the leaderboard and its page.

    The victims are fitted, and every cell without a valid stored result is measured. At the end, one screen shows the
    best rows of each table.
    """
    from robench.entrance.suite import run_suite  # noqa: PLC0415  # imports torch
    from robench.report.terminal import check_choices, print_tables  # noqa: PLC0415
    from robench.run.runner import Options  # noqa: PLC0415  # as above

    check_choices(tables, form)
    options = Options(results, workers, executor, scheduler, tuple(set_ or ()), tuple(only or ()), fresh, yes)
    with interrupting_signals():
        summary, built = run_suite(suite, options)
    print_tables(built, summary.folder, screen(), tables, form)
    for line in summary.failure_lines():
        say(line, err=True)
    if summary.failures:
        raise typer.Exit(1)


@app.command()
def plan(suite: SuiteFile, results: Results = None, set_: Set = None, only: Only = None) -> None:
    """Show what a run would do.

    For each victim, the output shows how many cells are stored, stale or skipped, and why cells are skipped. The exit
    code is 2 if a run would be refused.
    """
    from robench.run.preview import make_preview  # noqa: PLC0415  # may import torch
    from robench.run.terminal import print_preview  # noqa: PLC0415

    shown = make_preview(suite, Registry.of(Host.discover()), results, tuple(set_ or ()), tuple(only or ()))
    print_preview(shown, screen())
    for refusal in shown.refusals:
        say(f"a run would end here: {refusal}", err=True)
    if shown.refusals:
        raise typer.Exit(2)


@app.command()
def tune(
    suite: SuiteFile,
    trials: Annotated[int, typer.Option(help="trials of every model and defence")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="seed from which settings are drawn")] = 0,
    workers: Workers = None,
    executor: ExecutorName = "local",
    scheduler: Scheduler = None,
    set_: Set = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="drop the trials of an earlier search")] = False,
) -> None:
    """Choose the settings of every model and defence by validation alone.

    Each gets the same number of trials. The trials and a suite with the chosen settings are written beside the suite.
    """
    from robench.tune.search import SearchOptions, describe_search, tune_suite  # noqa: PLC0415  # imports torch

    options = SearchOptions(trials, seed, workers, executor, scheduler, tuple(set_ or ()), fresh)
    with interrupting_signals():
        summary = tune_suite(suite, options, Registry.of(Host.discover()), lambda line: say(line, err=True))
    for line in describe_search(summary):
        say(line)
    for line in summary.failures:
        say(line, err=True)
    if summary.failures:
        raise typer.Exit(1)


@app.command()
def leaderboard(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="folders of results", show_default=False)],
    tables: TablesShown = Shown.HEADLINE,
    form: Format = Form.TEXT,
    site: Annotated[Path | None, typer.Option(metavar="OUT", help="write a site of all boards to this folder")] = None,
    docs: Annotated[Path | None, typer.Option(metavar="DIR", help="the built documentation, for --site")] = None,
) -> None:
    """Rebuild the tables and the page from plan.json, the records and the arrays.

    With --site, the folders are only read. Their boards are written as a static site with a start page.
    """
    from robench.entrance.tables import rebuild_tables  # noqa: PLC0415  # numpy and scipy take a moment
    from robench.report.terminal import check_choices, print_tables  # noqa: PLC0415

    registry = Registry.of(Host.discover())
    if site is not None:
        from robench.entrance.site import build_site  # noqa: PLC0415  # as above

        built = build_site(folders, site, registry, docs, lambda line: say(line, err=True))
        say(f"site: {built.start}, {counted(len(built.cards), 'board')}")
        return
    if len(folders) > 1 or docs is not None:
        raise UserError("needs --site", path="several folders" if docs is None else "--docs", hint="give --site OUT")
    check_choices(tables, form)
    print_tables(rebuild_tables(folders[0], registry), folders[0], screen(), tables, form)


@app.command()
def pack(
    folder: Folder,
    to: Annotated[Path | None, typer.Option(help="a new folder for it [default: the folder itself]")] = None,
    publish: Annotated[Published, typer.Option(help="aggregate withholds all about single users")] = Published.USERS,
) -> None:
    """Pack a folder of results into its published form.

    This form has one file for all records, one for all arrays, and one for the hashes. With --publish aggregate there
    are no arrays, so nobody else can verify the tables.
    """
    from robench.entrance.pack import pack_results, publish_aggregates  # noqa: PLC0415  # scipy takes a second

    write = publish_aggregates if publish is Published.AGGREGATE else pack_results
    packed = write(folder, Registry.of(Host.discover()), to)
    missing = f", {packed.missing} more missing" if packed.missing else ""
    say(f"packed: {packed.folder}, {packed.cells} cells{missing}, {packed.size / 2**20:.1f} MiB")


@app.command()
def submit(
    folder: Folder,
    licence: Annotated[str, typer.Option(help="the licence of the results, such as CC-BY-4.0", show_default=False)],
    contact: Annotated[str, typer.Option(help="your e-mail address or web page", show_default=False)],
    claims: Annotated[Path | None, typer.Option(help="values that you report, .csv or .yaml")] = None,
    out: Annotated[Path | None, typer.Option(help="a .zip file or a folder [default: <suite>.zip]")] = None,
) -> None:
    """Pack a complete folder of results for review.

    The folder is verified first. The submission also states the licence, the contact, the hardware and the claims.
    """
    from robench.submission.submit import submit as submit_results  # noqa: PLC0415  # imports torch

    made = submit_results(folder, licence, contact, claims, out)
    what = f"{counted(made.cells, 'cell')}, {counted(made.claims, 'claim')}, {made.size / 2**20:.1f} MiB"
    say(f"submission: {made.path}, {what}")


@app.command()
def verify(
    folder: Annotated[Path | None, typer.Argument(help="a folder of results", show_default=False)] = None,
    submission: Annotated[Path | None, typer.Option(help="review this submission instead of a folder")] = None,
    against: Annotated[Path | None, typer.Option(help="compare the submission with this board")] = None,
    form: Annotated[Form, typer.Option("--format", help="format of a review: text or md")] = Form.TEXT,
    attack: Annotated[Path | None, typer.Option(help="score this artefact of a stronger attack")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="store the artefact if it is stronger")] = False,
    sample: Annotated[int, typer.Option(min=0, help="how many cells are measured again")] = 3,
    every: Annotated[bool, typer.Option("--all", help="measure every cell again")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="seed of the sample [default: a new one each time]")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="worker processes [default: cores]")] = None,
    data: Annotated[Path | None, typer.Option(help="folder of the suite's relative paths [default: found]")] = None,
) -> None:
    """Check every hash, recompute every table and measure some cells again.

    With --submission, review a submission: its tables come from its arrays alone. With --attack, score an artefact
    within the budget of its cell. The exit code is 1 if something differs, or if the artefact is not stronger.
    """
    from robench.submission.requests import Request, answer  # noqa: PLC0415  # imports torch
    from robench.verify.rerun import Sample  # noqa: PLC0415  # as above

    drawn = secrets.randbelow(1 << 32) if seed is None else seed  # nobody can know the sample in advance
    request = Request(folder, submission, against, form, attack, keep)
    with interrupting_signals():
        lines, fine = answer(request, Sample(None if every else sample, drawn, workers, data))
    for line in lines:
        typer.echo(line)
    if not fine:
        raise typer.Exit(1)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="a folder of results", show_default=False)],
    b: Annotated[Path | None, typer.Argument(metavar="[B]", help="another one", show_default=False)] = None,
    row: Annotated[
        list[str] | None, typer.Option("--row", metavar="ROW", help="a row such as 'mf, apr λ=0.5'; twice for two rows")
    ] = None,
    form: Format = Form.TEXT,
) -> None:
    """Compare two folders of results, or two rows of a folder.

    The output shows differences with their intervals and verdicts, and what cannot be compared and why.
    """
    from robench.comparison.board import compare_boards  # noqa: PLC0415  # numpy and scipy take a moment
    from robench.comparison.forms import check_form, print_comparison  # noqa: PLC0415

    check_form(form)
    print_comparison(compare_boards(a, b, row or (), Registry.of(Host.discover())), screen(), form)


@app.command()
def show(
    cell: Annotated[
        Path,
        typer.Argument(help="an id below results/ (or its first digits), a record, or a folder", show_default=False),
    ],
    user: Annotated[str | None, typer.Option(help="a user's id: the list before and after the attack")] = None,
    tables: Annotated[Shown | None, typer.Option("--tables", help="print tables of a folder as text")] = None,
    form: Format = Form.TEXT,
) -> None:
    """Show a stored cell, or a summary of a folder.

    With --tables or --format, the tables of a folder are printed, and no file is written. An attacked cell is shown
    with the verdict of its row. With --user, show that user's list before and after the attack.
    """
    from robench.entrance.show import show as show_stored  # noqa: PLC0415  # numpy takes a moment

    show_stored(cell, user, Registry.of(Host.discover()), screen(), tables, form)


@app.command()
def recommend(
    source: Annotated[
        Path, typer.Argument(metavar="SUITE|CHECKPOINT", help="a suite, or a .safetensors file", show_default=False)
    ],
    user: Annotated[str | None, typer.Option(help="a user's id in the source")] = None,
    items: Annotated[str | None, typer.Option(help="a new user's items, oldest first: titles or ids")] = None,
    all_users: Annotated[bool, typer.Option("--all-users", help="every user of the data, into a file")] = False,
    out: Annotated[Path | None, typer.Option(help="the file of --all-users: .parquet, .csv or .jsonl")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="length of the list")] = 10,
    model: Annotated[str | None, typer.Option(metavar="LABEL", help="only this model of the suite")] = None,
    defense: Annotated[str | None, typer.Option(metavar="LABEL", help="only this defence of the suite")] = None,
    seed: Annotated[int | None, typer.Option(help="seed of the victims [default: the suite's first]")] = None,
    set_: Set = None,
    only: Only = None,
) -> None:
    """Show what fitted models recommend to a known or a new user.

    A new user is given by some items. With --all-users, the lists of every user are written to a file.
    """
    from robench.recommend.lists import recommend, write_lists  # noqa: PLC0415  # imports torch
    from robench.recommend.query import Request  # noqa: PLC0415  # as above
    from robench.recommend.terminal import print_recommendations  # noqa: PLC0415

    registry = Registry.of(Host.discover())
    request = Request(user, items, k, model, defense, seed, tuple(only or ()), tuple(set_ or ()))
    if all_users != (out is not None):
        hint = "--all-users --out lists.parquet writes the lists of every user"
        raise UserError("one needs the other", path="--all-users, --out", hint=hint)
    if out is not None:
        rows = write_lists(source, out, request, registry, lambda line: say(line, err=True))
        say(f"lists: {out}, {counted(rows, 'row')}")
        return
    print_recommendations(recommend(source, request, registry, lambda line: say(line, err=True)), screen())


app.command()(plugins)
app.command("new-plugin")(new_plugin)
app.add_typer(cache_app, name="cache")
app.add_typer(data_app, name="data")


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="print the version and leave")] = False,
) -> None:
    """Prints the version, or the help if the user names no command.

    Without a command, the exit code is 2.
    """
    if show_version:
        say(f"robench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Runs the command line.

    If the user makes mistakes, each is printed on one line and the exit code is 2.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ε shows a question mark
    # A run keeps many objects and creates few reference cycles. The search for cycles took 15% of the time.
    gc.set_threshold(OBJECTS, 20, 50)
    try:
        code = app(standalone_mode=False)
    except UserError as error:
        mistake = str(error)
    except OPTION_ERROR as error:
        mistake = option_mistake(error)
    else:
        raise SystemExit(code or 0)
    say(mistake, err=True)
    raise SystemExit(2)


def option_mistake(error: Any) -> str:
    """Describes a mistake in an option or an argument, on one line."""
    text = " ".join(error.format_message().split()).rstrip(".")
    text = re.sub(r"Input should be a valid integer.*", "must be a whole number", text).replace("Value error, ", "")
    command = error.ctx.command_path if getattr(error, "ctx", None) else "robench"
    return f"{command}: {text[:1].lower()}{text[1:]} (see {command} --help)"
