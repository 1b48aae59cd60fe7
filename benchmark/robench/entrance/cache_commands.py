"""The commands of ``robench cache``."""

from __future__ import annotations

from typing import Annotated

import typer

from robench.api.terminal import say

cache_app = typer.Typer(help="Show how large the cache is, or remove what was not used for the longest time.")


@cache_app.command("info")
def cache_info() -> None:
    """Show how large the cache is.

    The first line shows the folder of the cache. Each kind of entry then has a line with the number and the total size
    of its entries. The last line shows the sum.
    """
    from robench.entrance.cache import describe_cache  # noqa: PLC0415  # numpy takes a moment

    for line in describe_cache():
        say(line)


@cache_app.command("prune")
def cache_prune(
    max_size: Annotated[str, typer.Option("--max-size", help="what may be left, such as 2GiB", show_default=False)],
) -> None:
    """Remove the least recently used entries until the rest fits into --max-size.

    If a later run needs a removed entry, the run makes the entry again.
    """
    from robench.entrance.cache import prune_cache  # noqa: PLC0415  # numpy takes a moment

    say(prune_cache(max_size))
