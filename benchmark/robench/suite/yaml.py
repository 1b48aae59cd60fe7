"""YAML as a person means it: plain data, the line of every path, no traps, nothing executed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from robench.api.errors import UserError, UserErrors

MOST_NODES = 100_000
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?\Z")
_FRACTION = re.compile(r"([-+]?[0-9]+(?:\.[0-9]+)?)/([0-9]+(?:\.[0-9]+)?)\Z")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False, "True": True, "False": False}
Path = tuple[str | int, ...]


@dataclass
class Tree:
    """Plain data of a file, and the line (from 1) of every path in it."""

    data: Any
    where: str
    lines: dict[Path, int] = field(default_factory=dict)

    def place(self, path: Path) -> str:
        """``file:line`` of a path, or of its nearest parent."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return f"{self.where}:{self.lines[path[:end]]}"
        return self.where


def dotted(path: Path) -> str:
    """``attacks[0].epsilon``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def scalar(text: str) -> Any:
    """An unquoted word: ``1e-3`` and ``8/255`` are numbers, ``012`` is 12, ``on`` and ``1:30`` are text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    fraction = _FRACTION.match(text)
    if fraction and float(fraction[2]):
        return float(fraction[1]) / float(fraction[2])
    return text


class _Reader:
    """From the node graph to plain data; every mistake is kept, with its line."""

    def __init__(self, where: str) -> None:
        self.tree = Tree(None, where)
        self.errors: list[UserError] = []
        self.nodes = 0
        self.open: set[int] = set()

    def error(self, problem: str, node: yaml.Node, path: Path, hint: str = "") -> None:
        line = f"{self.tree.where}:{node.start_mark.line + 1}"
        self.errors.append(UserError(problem, where=line, path=dotted(path), hint=hint))

    def read(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise UserError(f"more than {MOST_NODES} values, aliases counted", where=self.tree.where)
        if id(node) in self.open:
            self.error("an alias that contains itself", node, path)
            return None
        self.tree.lines.setdefault(path, node.start_mark.line + 1)
        standard = node.tag in ("!", "?", None) or node.tag.startswith("tag:yaml.org,2002:")
        if not standard or node.tag.startswith("tag:yaml.org,2002:python"):
            self.error(f"the tag {node.tag} is not allowed: a suite is plain data", node, path)
            return None
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
            assert isinstance(node, yaml.ScalarNode)
            return scalar(node.value) if node.style is None else node.value
        finally:
            self.open.discard(id(node))

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or (key.style is None and not isinstance(scalar(name), str)):
                self.error("a key must be text", key, path, f"write it in quotes: '{name}'" if name else "")
            elif name == "<<":
                self.error("merge keys (<<) are not supported", key, path, "write the settings out")
            elif name in found:
                self.error(f"duplicate key '{name}'", key, (*path, name), "it is given above already")
            else:
                self.tree.lines[(*path, name)] = key.start_mark.line + 1
                found[name] = self.read(value, (*path, name))
        return found


def parse(text: str, where: str) -> Tree:
    """Plain data out of YAML text.

    Raises:
        UserErrors: every duplicate or strange key, tag, alias loop; or the first syntax error.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"{where}:{mark.line + 1}" if mark else where
        raise UserError(f"not YAML: {error.problem or error.context}", where=line) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"not YAML: {str(error).splitlines()[0]}", where=where) from None
    reader = _Reader(where)
    if node is not None:
        reader.tree.data = reader.read(node, ())
    if reader.errors:
        raise UserErrors(reader.errors)
    return reader.tree
