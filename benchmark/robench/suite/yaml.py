"""Reads YAML as plain data with the line of every path and writes YAML.

Reading never executes code. Unquoted words mean what a person expects: ``012`` is 12, ``on`` is a string, and
``8/255`` is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from robench.api.errors import UserError, UserErrors

MOST_NODES = 100_000
MOST_LEVELS = 100  # of lists and mappings inside each other; far fewer than Python's stack has frames for
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?\Z")
_FRACTION = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?)/([0-9]+(?:\.[0-9]+)?)\Z")
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
KeyPath = tuple[str | int, ...]  # the path of a value in a suite, such as ("attacks", 0, "epsilon")


@dataclass
class Tree:
    """The plain data of a file, with the place of each value.

    Args:
        data: the data of the whole file.
        where: the name of the file.
        lines: the line of every path, counted from 1.
        origins: the command-line option that has set each overridden path.
    """

    data: Any
    where: str
    lines: dict[KeyPath, int] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Returns the line of a path, or the line of its nearest parent.

        The line is 0 if the path comes from the command line or has no parent in the file.
        """
        parents = [path[:end] for end in range(len(path), -1, -1)]
        if any(parent in self.origins for parent in parents):
            return 0
        return next((self.lines[parent] for parent in parents if parent in self.lines), 0)

    def has(self, path: KeyPath) -> bool:
        """Returns whether the file or ``--set`` contains a path."""
        return path in self.lines or path in self.origins

    def place(self, path: KeyPath) -> str:
        """Returns ``file:line`` for a path, or for its nearest parent in the file.

        If an override has set the path or a parent, the result is the option, such as ``--set a.b=c``. If no line is
        known, the result is the name of the file.
        """
        for end in range(len(path), -1, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        line = self.line(path)
        return f"{self.where}:{line}" if line else self.where


def format_path(path: KeyPath) -> str:
    """Returns a path as a string such as ``attacks[0].epsilon``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def parse_scalar(text: str) -> Any:
    """Returns the value of an unquoted word.

    ``1e-3`` and ``8/255`` are numbers, ``012`` is 12, and ``on`` and ``1:30`` are strings. A number stays a string if
    no finite float can hold it.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    value = math.nan
    if _FLOAT.match(text):
        value = float(text)
    elif fraction := _FRACTION.match(text):
        above, below = float(fraction[1]), float(fraction[2])
        value = above / below if below else math.nan
    return value if math.isfinite(value) else text


class _Loader(yaml.SafeLoader):
    """A YAML loader that records the tags of the file and limits its levels."""

    def __init__(self, text: str, where: str) -> None:
        super().__init__(text)
        self.where = where
        self.level = 0
        self.tags: dict[int, str] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Returns the next node and records its tag if the file contains the tag.

        The node has a tag even if the file contains none, so the node does not show the difference.
        """
        tag = getattr(self.peek_event(), "tag", None)  # type: ignore[no-untyped-call]  # the stubs have no type for it
        _check_level(self.level, self.where)
        self.level += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.level -= 1
        if tag is not None:
            self.tags[id(node)] = str(tag).replace("tag:yaml.org,2002:", "!!")
        return node


def _check_level(level: int, where: str) -> None:
    if level > MOST_LEVELS:
        raise UserError("lists or mappings are nested too deeply", where=where)


class _Reader:
    """A reader that turns YAML nodes into plain data, and collects mistakes."""

    def __init__(self, where: str, tags: Mapping[int, str]) -> None:
        self.tree = Tree(None, where)
        self.tags = tags
        self.errors: list[UserError] = []
        self.nodes = 0
        self.open: set[int] = set()

    def error(self, problem: str, node: yaml.Node, path: KeyPath, hint: str = "") -> None:
        line = f"{self.tree.where}:{node.start_mark.line + 1}"
        self.errors.append(UserError(problem, where=line, path=format_path(path), hint=hint))

    def read(self, node: yaml.Node, path: KeyPath) -> Any:
        _check_level(len(path), self.tree.where)
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise UserError(f"more than {MOST_NODES} values, aliases counted", where=self.tree.where)
        if id(node) in self.open:
            self.error("an alias that contains itself", node, path)
            return None
        self.tree.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self.tags:
            self.error(f"the tag {self.tags[id(node)]} is not allowed: a suite is plain data", node, path)
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
            return parse_scalar(str(node.value)) if getattr(node, "style", None) is None else str(node.value)
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or (key.style is None and not isinstance(parse_scalar(name), str)):
                self.error("a key must be text", key, path, f"write it in quotes: '{name}'" if name else "")
            elif id(key) in self.tags:
                self.error(f"the tag {self.tags[id(key)]} is not allowed: a suite is plain data", key, path)
            elif name == "<<":
                self.error("merge keys (<<) are not supported", key, path, "write the settings out")
            elif name in values:
                self.error(f"duplicate key '{name}'", key, (*path, name), "it is given above already")
            else:
                self.tree.lines[(*path, name)] = key.start_mark.line + 1
                values[name] = self.read(value, (*path, name))
        return values


def parse(text: str, where: str) -> Tree:
    """Parses YAML into plain data.

    Args:
        text: the text of the file.
        where: the name of the file in error messages.

    Raises:
        UserErrors: for duplicate keys, keys that are not strings, merge keys, tags, and aliases that contain
            themselves.
        UserError: for the first syntax error, for more than 100,000 values, or for more than 100 levels.
    """
    try:
        loader = _Loader(text, where)
        node = loader.get_single_node()
        reader = _Reader(where, loader.tags)
        if node is not None:
            reader.tree.data = reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{where}:{mark.line + 1}" if mark else where
        problem = str(error.problem or error.context)
        hint = "YAML takes no tabs: use spaces" if "'\\t'" in problem else ""
        raise UserError(f"not YAML: {problem}", where=line, hint=hint) from None
    except yaml.reader.ReaderError as error:
        line = f"{where}:{text.count(chr(10), 0, error.position) + 1}"
        raise UserError(
            f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed", where=line
        ) from None
    if reader.errors:
        raise UserErrors(reader.errors)
    return reader.tree


class _Dumper(yaml.SafeDumper):
    """A YAML dumper that quotes every string that ``parse_scalar`` would change."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    plain = parse_scalar(value) == value
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else "'")


_Dumper.add_representer(str, _text)


def dump(data: Any) -> str:
    """Returns the data as YAML text that ``parse`` reads back unchanged."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
