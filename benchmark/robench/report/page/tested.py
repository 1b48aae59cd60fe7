"""Writes what a board tested, its origin, and how to repeat and cite it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from robench.api.errors import counted
from robench.api.threat import Threat
from robench.report.numbers import format_number, format_unit
from robench.spec import CellRow
from robench.tables.build import Tables
from robench.tables.certificates import CertificateRow
from robench.tables.membership import MembershipRow
from robench.tables.origin import Origin
from robench.tables.results import grouped, is_baseline

MOST_NAMES = 12  # the most names in a sentence
WORST_CASE = "A worst case is the worst outcome of a table's attacks within its ε, and every"
SURFACES = {
    "embedding": "shifts of the embedded inputs",
    "parameters": "shifts of the embedding tables",
    "features": "shifts of the vectors of items",
    "history": "edits of users' histories",
    "text": "rewritten titles",
    "interactions": "changes of the training data",
    "membership": "inference of who is in the training data",
}


def write_tested(tables: Tables) -> list[str]:
    """Returns sentences on the models, the attacks and the values of a board."""
    cells = [value.cell for value in tables.values]
    if not cells:
        return ["The suite has no cells."]
    models = _distinct(cell.key.model_label for cell in cells if not is_baseline(cell))
    defences = _distinct(cell.key.defense_label for cell in cells if cell.key.defended)
    data = _distinct(", ".join(cell.key.place) for cell in cells)
    seeds = sorted({cell.seed for cell in cells})
    tried = _defences_in_words(defences, models, cells)
    return [
        f"This board compares {_listed(models, 'model')} on {_listed(data, 'data set')}: each was fitted with "
        f"{counted(len(seeds), 'seed')}, {tried}.",
        *_membership_sentence(tables.membership),
        *_attacks_sentence(cells, tables.certificates, asked=bool(tables.membership)),
        f"{WORST_CASE if tables.leaderboard else 'Every'} value is a mean over seeds and users with a 95% interval.",
    ]


def _defences_in_words(defences: Sequence[str], models: Sequence[str], cells: Sequence[CellRow]) -> str:
    """Says which defences the models were fitted with, and whether some lack some."""
    if not defences:
        return "without any defence"
    fitted = {(cell.key.model_label, cell.key.defense_label) for cell in cells if cell.key.defended}
    counts = [sum(model == name for name, _ in fitted) for model in models]
    if min(counts) == 0:
        return f"without a defence; some also with {_listed(defences, 'defence')}"
    return f"without a defence and with {'some of ' * (min(counts) < len(defences))}{_listed(defences, 'defence')}"


def _membership_sentence(rows: Sequence[MembershipRow]) -> Iterator[str]:
    """Says which attacks asked for the members of the training data."""
    if rows:
        attacks = _listed(_distinct(row.attack_label for row in rows), "attack")
        yield f"Attacks on membership asked which users are in the training data: {attacks}."


def _attacks_sentence(
    cells: Sequence[CellRow], certificates: Sequence[CertificateRow], *, asked: bool
) -> Iterator[str]:
    """Says which attacks changed what, or why the board shows no robustness.

    Args:
        cells: the cells of the board.
        certificates: the certified rows.
        asked: whether attacks on membership were made.
    """
    attacked = [cell for cell in cells if cell.threat is not None and cell.status != "skipped"]
    if attacked:
        parts = []
        for threat, some in grouped(attacked, lambda cell: cell.threat).items():
            if threat is not None:
                parts.append(f"{_threat_in_words(threat)} by {_budgets(threat, some)}")
        yield f"The attacks were {'; '.join(parts)}."
    elif certificates:
        best = max(certificates, key=lambda row: row.certified[1] if row.metric == certificates[0].metric else -1.0)
        yield (
            f"No attack was made: whatever one fake user does, {best.key.model_label} keeps at least "
            f"{format_number(best.certified[1])} of the {best.metric} of {format_number(best.plain)}, by certificate."
        )
    elif asked:
        yield "No attack changed a list, so the board says nothing about other robustness."
    else:
        yield "No attack was made, so the board says nothing about robustness."


def _threat_in_words(threat: Threat) -> str:
    return f"{SURFACES.get(threat.surface, threat.surface)} ({threat.norm}, {threat.goal})"


def _budgets(threat: Threat, cells: Sequence[CellRow]) -> str:
    attacks = _distinct(cell.attack_label for cell in cells)
    budgets = sorted({cell.epsilon for cell in cells})
    listed = ", ".join(f"{epsilon:g}" for epsilon in budgets)
    return f"{_listed(attacks, 'attack')} at ε = {listed}{format_unit(threat, budgets[-1])}"


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _listed(names: Sequence[str], noun: str) -> str:
    """Returns names in one phrase, with their number if there are several."""
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:MOST_NAMES])
    return f"{counted(len(names), noun)} ({shown}{', …' if len(names) > MOST_NAMES else ''})"


def write_origin(tables: Tables) -> str:
    """Returns sentences on the days, versions and machines of the measurement."""
    origin = tables.origin
    versions, machines = ", ".join(_versions(origin)), "; ".join(origin.machines)
    if not (origin.dates or versions or machines):
        return ""
    first, last = (origin.dates[0], origin.dates[-1]) if origin.dates else ("", "")
    when = f" from {first} to {last}" if first != last else f" on {first}" if first else ""
    by = f" with {versions}" if versions else ""
    what = f"Measured{when}{by}." if when else f"Measured{by}; the records do not state the day."
    return f"{what} Hardware: {machines}." if machines else what


def _days(origin: Origin) -> str:
    """Returns the day or the days of the measurement, or an empty string."""
    return " to ".join(dict.fromkeys(origin.dates))


def _versions(origin: Origin) -> list[str]:
    """Returns the versions of packages, and of plugins outside robench."""
    versions = [f"{name} {' and '.join(some)}" for name, some in origin.versions.items() if some]
    foreign = {owner: some for owner, some in origin.plugins.items() if not owner.startswith("robench:")}
    return [*versions, *(f"{owner} {' and '.join(some)}" for owner, some in foreign.items())]


def list_facts(tables: Tables) -> list[tuple[str, str]]:
    """Returns the date, versions, hardware and cost, as terms with texts."""
    origin = tables.origin
    facts = [("Measured", _days(origin) or "the records of this board do not state a day")]
    versions = _versions(origin)
    memory = f"; at most {origin.memory / 1024:.1f} GiB of memory per worker" if origin.memory else ""
    if versions:
        facts.append(("Versions", ", ".join(versions)))
    if origin.machines:
        facts.append(("Hardware", f"{'; '.join(origin.machines)}{memory}"))
    if origin.seconds:
        facts.append(("Cost", f"{origin.seconds / 3600:.1f} hours of fits and measurements in all"))
    return facts


def list_commands(tables: Tables) -> list[tuple[str, str]]:
    """Returns pairs (purpose, command) that repeat and check the board."""
    folder = f"results/{shlex.quote(tables.suite)}"
    return [
        ("Measure everything again", f"robench run {folder}/suite.yaml --results again/{shlex.quote(tables.suite)}"),
        ("Recompute every table, and measure a sample of cells again", f"robench verify {folder}"),
    ]


def write_citation(tables: Tables) -> list[str]:
    """Returns the lines of an entry for BibTeX.

    The entry names the board by the digest of its plan.
    """
    origin = tables.origin
    version = " and ".join(origin.versions.get("robench", ())) or "unknown"
    when = f", measured {origin.dates[-1]}" if origin.dates else ""
    name = "".join(char if char.isalnum() else "-" for char in tables.suite)
    return [
        f"@misc{{robench-{name},",
        "  author = {{The robench developers}},",
        f"  title  = {{robench: the board {_bibtex(tables.suite)}}},",
        f"  note   = {{robench {version}{when}, plan sha256 {origin.plan_sha256[:16]}}}",
        "}",
    ]


def _bibtex(text: str) -> str:
    return "".join(f"\\{char}" if char in "&%$#_{}" else char for char in text)
