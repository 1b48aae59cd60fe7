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
from robench.host.registry import Kind, Registry

Setting = tuple[str, str, str]  # values, default, meaning

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


def code(value: Any) -> str:
    """Returns a value in YAML syntax, marked as code."""
    plain = {None: "null", True: "true", False: "false"}
    text = (
        plain[value]
        if value is None or isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    return f"`{text}`".replace("|", "\\|")


def cell(text: str) -> str:
    """Returns a string as a cell of a Markdown table."""
    return text.replace("|", "\\|")


def default_of(schema: dict[str, Any]) -> str:
    """Returns the default of a setting as Markdown.

    For a long list, the result is the number of entries. For a long string, it is ``a text``.
    """
    if "default" not in schema:
        return "required"
    value = schema["default"]
    if isinstance(value, list):
        return code(f"[{', '.join(map(str, value))}]") if len(str(value)) < 50 else f"{len(value)} entries"
    if isinstance(value, str) and len(value) > 50:
        return "a text"
    return code(value) if value != "" else "empty"


def values_of(schema: dict[str, Any], parts: dict[str, Any]) -> str:
    """Describes the values of a setting, given its JSON schema."""
    if "$ref" in schema:
        return values_of(parts[schema["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(values_of(option, parts) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return " ".join([{"integer": "whole number", "number": "number"}[kind], *bounds(schema)])
    if kind == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", [{}])))
        return f"list of {values_of(items, parts).replace('number', 'numbers')}"
    return {"boolean": "`true`, `false`", "string": "text", "null": "`null`"}.get(str(kind), str(kind or "anything"))


def bounds(schema: dict[str, Any]) -> Iterator[str]:
    """Yields the bounds of a setting, such as ``≥ 1`` or ``< 1``."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    yield from (f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema)


def meaning_of(schema: dict[str, Any], inherited: str) -> str:
    """Returns the description of a setting, with the searched values."""
    text = schema.get("description") or inherited
    if (search := schema.get("search")) is None:
        return text
    if "choices" in search:
        values = ", ".join(map(code, search["choices"]))
    else:
        values = f"{code(search['low'])} to {code(search['high'])}{', log' if search['log'] else ''}"
    return f"{text}; searched: {values}"


def settings_of(config: type[Any]) -> dict[str, Setting]:
    """Returns {setting: (values, default, meaning)} of a ``Config``.

    A field that only changes an inherited default keeps the inherited meaning. The settings of a nested ``Config``
    are named by paths such as ``knowledge.data``.
    """
    schema = config.model_json_schema(by_alias=True)
    parts = schema.get("$defs", {})
    fields = [getattr(base, "model_fields", {}) for base in config.__mro__]
    meanings = {name: of[name].description for of in reversed(fields) for name in of if of[name].description}
    return {
        name: (values_of(field, parts), default_of(field), meaning_of(field, meanings.get(name, "")))
        for name, field in flat_fields(schema.get("properties", {}), parts)
    }


def flat_fields(properties: dict[str, Any], parts: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the schema of each setting.

    Nested settings take the place of their parent.
    """
    for name, field in properties.items():
        nested = parts.get(field.get("$ref", "").rpartition("/")[2], {}).get("properties")
        if nested is None:
            yield name, field
        else:
            yield from ((f"{name}.{inner}", schema) for inner, schema in flat_fields(nested, parts))


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
    base, own = shared_of(config), settings_of(config)
    if base is not None:
        inherited = settings_of(base)
        own = {name: cells for name, cells in own.items() if cells != inherited.get(name)}
        heading = SHARED[base.__name__]
        link = f"[{heading[:1].lower()}{heading[1:]}](#{anchor(heading)})"
        yield from ("It also has the settings of", f"{link}.", "")
    if own:
        yield from ("| setting | values | default | meaning |", "|---|---|---|---|")
        yield from (
            f"| `{name}` | {values} | {default} | {cell(meaning)} |" for name, (values, default, meaning) in own.items()
        )
        yield ""


def sentence(cls: type[Any]) -> list[str]:
    """Returns the lines of the first paragraph of a class docstring.

    Each sentence begins a new line, and long lines are wrapped.
    """
    paragraph = " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split()).replace("``", "`")
    lines = re.split(r"(?<=[a-z)`0-9]\.) (?=[A-Z`])", paragraph)
    return [line for part in lines for line in textwrap.wrap(part, 98, break_on_hyphens=False, break_long_words=False)]


def facts(kind: Kind, cls: Any) -> list[str]:
    """Returns the declarations of a class, each as a short sentence."""
    if kind == "model":
        return [f"Surfaces: {', '.join(f'`{name}`' for name in sorted(cls.surfaces))}."] if cls.surfaces else []
    if kind == "attack":
        surface = cls.Config.model_json_schema()["properties"].get("surface", {"const": cls.surface})
        return [f"Surface: {values_of(surface, {})}.", f"Kind: {cls.kind() if cls.stage == 'test' else cls.adaptive}."]
    if kind == "defense":
        hooks = [name for name in ("sanitise", "clean_text", "loss", "wrap") if cls.overrides(name)]
        return [f"Changes: {', '.join(f'`{name}`' for name in hooks)}."] if hooks else []
    if kind == "dataset":
        return [f"Licence: {cls.licence}.", f"Source: {cls.source}."]
    if kind == "metric":
        better = "higher" if cls.higher_is_better else "lower"
        return [f"Needs: {cls.needs}.", f"Better: {better}.", f"Version: {cls.version}."]
    return []


def entry(kind: Kind, name: str, cls: Any) -> Iterator[str]:
    """Yields the lines of one component."""
    title = f"{name}@k" if kind == "metric" and cls.at_k else name
    yield from (f"### `{title}`", "", *sentence(cls), "")
    stated = facts(kind, cls)
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
