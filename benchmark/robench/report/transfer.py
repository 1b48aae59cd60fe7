"""Builds the section on the transfer of attacks with fake users to other models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robench.api.knowledge import Knowledge
from robench.report.blocks import Block, Grid, Section
from robench.report.numbers import format_interval, name_places
from robench.tables.build import Tables
from robench.tables.results import grouped
from robench.tables.transfer import TransferRow

TEXT = (
    "A line is an attack with fake users, and a column is an undefended victim. A cell shows how far the attack moves "
    "the targets by `t-percentile`, with the verdict of the comparison with clean victims. The surrogate is the model "
    "that the attack fits in place of the victim. `same model` marks a victim of this kind, so the other cells of the "
    "line show what transfers."
)
OWN = "the victim's model"


def build_transfer_section(tables: Tables) -> Section | None:
    """Returns the section on transfer, or None if it has no rows."""
    if not tables.transfer:
        return None
    blocks: list[Block] = [TEXT]
    places = list(grouped(tables.transfer, lambda row: row.key.place).values())
    for name, rows in zip(name_places([rows[0].key for rows in places]), places, strict=True):
        blocks += [f"**{name}**"] if name else []
        blocks.append(_grid(rows))
    return Section("Transfer", blocks)


def _grid(rows: Sequence[TransferRow]) -> Grid:
    """Returns the matrix of attacks and victims of one data set and split."""
    victims = list(dict.fromkeys(row.key.model_label for row in rows))
    several = len({row.goal for row in rows}) > 1
    head = ["attack", "ε", *(["goal"] if several else []), "surrogate", "knows", *victims]
    lines = grouped(rows, lambda row: (row.attack_label, row.epsilon)).values()
    return Grid(head, [list(_line(line, victims, several=several)) for line in lines])


def _line(rows: Sequence[TransferRow], victims: Sequence[str], *, several: bool) -> Iterator[str]:
    """Yields the cells of one attack at one ε."""
    first, own = rows[0], {row.key.model_label: row for row in rows}
    yield from (first.attack_label, f"{first.epsilon:g}")
    if several:
        yield first.goal
    surrogates = {row.surrogate for row in rows}
    yield OWN if len(surrogates) > 1 else first.surrogate or "–"
    yield _describe_knowledge(first.norm)
    for victim in victims:
        yield _cell(own[victim]) if victim in own else "–"


def _cell(row: TransferRow) -> str:
    words = [row.verdict or "no verdict", *(["same model"] if row.same_model else [])]
    return f"{format_interval(row.effect)} {', '.join(words)}"


def _describe_knowledge(norm: str) -> str:
    """Returns what the norm of a threat model says about the attack's knowledge."""
    known = Knowledge.of(norm)
    if known is None:
        return norm
    users = "all users" if known.data == 1 else f"{100 * known.data:g}% of the users"
    return users if known.model == "none" else f"{users}, {OWN}"
