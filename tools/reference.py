"""Writes docs/reference/plugins.md from the code.

    python tools/reference.py            writes the page
    python tools/reference.py --check    exits with 1 if the page differs from the code

The page lists every built-in component with its declarations and settings. Names come from the registry, sentences from
docstrings, and settings from the ``Config`` of each class.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robench.host.discovery import Host
from robench.host.inspection import list_facts
from robench.host.registry import Kind, Registry
from robench.host.settings import list_settings

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "plugins.md"
OPENING = """# Plugins and their settings

`python tools/reference.py` writes this page from the code, and a test compares the two.
`robench plugins --check` lists the components of every plugin in your environment, built in or not.
In a suite, `name` selects a component, and every other key is one of its settings.
λ and ε of a grid may be lists: `lambda` and `epsilon` of a defence, `epsilon` of an attack.
"""
HEADINGS: dict[Kind, str] = {
    "model": "Models",
    "attack": "Attacks",
    "defense": "Defences",
    "dataset": "Data sets",
    "metric": "Metrics",
    "executor": "Executors",
}
SHARED = {
    "DatasetConfig": "Every data set",
    "EmbeddingConfig": "Attacks on embedding and parameters",
    "HistoryConfig": "Attacks on histories",
    "MinimumNormConfig": "Minimum-norm attacks",
    "FakeUserConfig": "Built-in attacks with fake users",
    "PointwiseConfig": "Stepwise attacks with fake users",
    "GradientConfig": "Gradient attacks with fake users",
    "PoisoningConfig": "Attacks with fake users",
    "SequenceConfig": "Sequence models",
    "TextConfig": "Attacks on titles",
    "TorchConfig": "Neural models",
}


def cell(text: str) -> str:
    """Returns a string as a cell of a Markdown table."""
    return text.replace("|", "\\|")


def all_shared_of(config: type[Any]) -> list[type[Any]]:
    """Returns the bases of a ``Config`` that have a separate settings table.

    The most general base comes first.
    """
    return [base for base in reversed(config.__mro__) if base.__name__ in SHARED]


def shared_of(config: type[Any]) -> type[Any] | None:
    """Returns the nearest base of a ``Config`` that has a separate settings table."""
    return next((base for base in reversed(all_shared_of(config)) if base is not config), None)


def settings(config: type[Any]) -> Iterator[str]:
    """Yields a link to the shared settings of a ``Config``, and a table.

    The table has the settings that the ``Config`` adds or changes.
    """
    base, own = shared_of(config), list_settings(config)
    if base is not None:
        inherited = list_settings(base)
        own = {name: cells for name, cells in own.items() if cells != inherited.get(name)}
        heading = SHARED[base.__name__]
        link = f"[{heading[:1].lower()}{heading[1:]}](#{anchor(heading)})"
        yield from ("It also has the settings of", f"{link}.", "")
    if own:
        yield from ("| setting | values | default | meaning |", "|---|---|---|---|")
        yield from (f"| `{name}` | {' | '.join(map(cell, setting))} |" for name, setting in own.items())
        yield ""


def sentence(cls: type[Any]) -> list[str]:
    """Returns the lines of the first paragraph of a class docstring.

    Each sentence begins a new line, and long lines are wrapped.
    """
    paragraph = " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split()).replace("``", "`")
    lines = re.split(r"(?<=[a-z)`0-9]\.) (?=[A-Z`])", paragraph)
    return [line for part in lines for line in textwrap.wrap(part, 98, break_on_hyphens=False, break_long_words=False)]


def entry(kind: Kind, name: str, cls: Any) -> Iterator[str]:
    """Yields the lines of one component."""
    title = f"{name}@k" if kind == "metric" and cls.at_k else name
    yield from (f"### `{title}`", "", *sentence(cls), "")
    stated = [f"{fact}: {value}." for fact, value in list_facts(kind, cls)]
    if stated:
        yield from (*(line for item in stated for line in textwrap.wrap(f"- {item}", 98, subsequent_indent="  ")), "")
    yield from settings(cls.Config)


def anchor(heading: str) -> str:
    """Returns the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page() -> str:
    """Returns the whole page."""
    registry = Registry.of(Host.discover())
    lines = [OPENING]
    for kind, heading in HEADINGS.items():
        names = [e for e in registry.entries[kind] if e.distribution == "robench"]
        classes = {e.name: registry.load_entry(kind, e) for e in names}
        lines += [f"## {heading}", ""]
        bases = dict.fromkeys(base for cls in classes.values() for base in all_shared_of(cls.Config))
        for base in bases:
            lines += [f"### {SHARED[base.__name__]}", "", *settings(base)]
        for name, cls in classes.items():
            lines += entry(kind, name, cls)
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Writes the page and returns the exit code.

    If ``--check`` is given, the page is only compared.
    """
    written = page()
    if "--check" in arguments:
        return int(PAGE.read_text("utf-8") != written)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(written, "utf-8")
    print(PAGE.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
