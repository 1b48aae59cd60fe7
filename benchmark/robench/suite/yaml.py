"""Reads YAML as plain data with the line of every path and writes YAML.

Reading never executes code. Unquoted words mean what a person expects: ``on`` is a string, and ``8/255`` is a number.
A number with a leading zero, such as ``05``, is refused: YAML reads ``[0,05]`` as two numbers, and an id such as
``007`` needs quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from robench.api.errors import UserError, UserErrors
from robench.suite.numerals import has_leading_zero, suggest_joined, suggest_without_zero
from robench.suite.syntax import describe_syntax

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

    ``1e-3`` and ``8/255`` are numbers, and ``on`` and ``1:30`` are strings. A number stays a string if no finite float
    can hold it, or if it has a leading zero.
    """
    if text in _WORDS:
        return _WORDS[text]
    if has_leading_zero(text):
        return text
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
                return self.sequence(node, path)
            word = _word(node)
            if word is not None and has_leading_zero(word):
                self.refuse_leading_zero(word, node, path)
            return str(node.value) if word is None else parse_scalar(word)
        finally:
            self.open.discard(id(node))

    def refuse_leading_zero(self, word: str, node: yaml.Node, path: KeyPath, before: str | None = None) -> None:
        self.error(f"the number {word} begins with a zero", node, path, suggest_without_zero(word, before))

    def sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        values = []
        before: str | None = None
        for index, child in enumerate(node.value):
            word = _word(child)
            if word is not None and has_leading_zero(word):
                self.refuse_leading_zero(word, child, (*path, index), before)
            else:
                values.append(self.read(child, (*path, index)))
            before = word
        return values

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        cut = _cut_by_commas(node)
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if id(key) in cut:
                before, hint = cut[id(key)]
                self.error("a comma ends the value", key, (*path, before), hint)
            elif name is None or not _is_text(_word(key)):
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


def _word(node: yaml.Node) -> str | None:
    """Returns the text of an unquoted word, or None for any other node."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and node.style is None else None


def _is_text(word: str | None) -> bool:
    """Returns whether an unquoted word is a string.

    The result is true for None, which stands for a quoted word.
    """
    return word is None or (isinstance(parse_scalar(word), str) and not has_leading_zero(word))


def _cut_by_commas(node: yaml.MappingNode) -> dict[int, tuple[str, str]]:
    """Finds the keys that are the end of a number with a decimal comma.

    In ``{epsilon: 0,05}``, the word ``05`` is a key without a value. Each such key is mapped to the key of the number
    and to a hint.
    """
    cut = {}
    for (name, before), (key, value) in pairwise(node.value):
        first, rest = _word(before), _word(key)
        if first is not None and rest is not None and _word(value) == "" and (hint := suggest_joined(first, rest)):
            cut[id(key)] = (str(name.value), hint)
    return cut


def parse(text: str, where: str) -> Tree:
    """Parses YAML into plain data.

    Args:
        text: the text of the file.
        where: the name of the file in error messages.

    Raises:
        UserErrors: for duplicate keys, keys that are not strings, numbers with a leading zero, merge keys, tags, and
            aliases that contain themselves.
        UserError: for the first syntax error, for more than 100,000 values, or for more than 100 levels.
    """
    try:
        loader = _Loader(text, where)
        node = loader.get_single_node()
        reader = _Reader(where, loader.tags)
        if node is not None:
            reader.tree.data = reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        problem, number, hint = describe_syntax(error, text.split("\n"))
        line = where if number is None else f"{where}:{number + 1}"
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
    plain = parse_scalar(value) == value and not has_leading_zero(value)
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else "'")


_Dumper.add_representer(str, _text)


def dump(data: Any) -> str:
    """Returns the data as YAML text that ``parse`` reads back unchanged."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text
