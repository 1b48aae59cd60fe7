"""The sections of a report: what leaderboard.md, index.html and the terminal show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from robench.api.errors import counted
from robench.report.blocks import Block, Bullets, Grid, Section
from robench.report.numbers import bounded, defense, number, placed, places, ranks, spread, twins_title, unit_of
from robench.report.reranking import stages_section
from robench.report.titles import rewritten_section

if TYPE_CHECKING:
    from robench.tables.build import Tables


def title_of(table: Mapping[str, Any]) -> str:
    """What a table is about, in a line."""
    threat, unit = f"{table['surface']}, {table['norm']}, {table['goal']}", unit_of(table)
    return f"{table['dataset']}, {table['split']}: {table['metric']} under {threat}, ε ≤ {table['epsilon']:g}{unit}"


def change(table: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """What the attack did: the drop in percent, or for promoted items the difference, as they start next to 0."""
    if table["rise"]:
        return "–" if row["worst"] is None else number(row["worst"] - row["clean"])
    return "–" if row["drop"] is None else f"{100 * row['drop'] + 0.0:.1f}%"


def table_lines(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a leaderboard table."""
    worst = "attacked" if table["goal"] != "untargeted" else "worst case"
    head = [
        "rank",
        "model",
        "defence",
        f"clean {table['metric']}",
        worst,
        "rise" if table["rise"] else "drop",
        "p",
        f"users hit@{table['hit_k']}",
        "flags",
    ]
    body = [
        [
            ranks(row),
            row["model_label"],
            defense(row),
            spread(row, "clean"),
            spread(row, "worst"),
            change(table, row),
            number(row["p_value"]),
            f"{row['users_hit']:.0f} of {row['users']}",
            row["flags"],
        ]
        for row in table["rows"]
    ]
    return head, body


def opening(tables: Tables) -> str:
    """The paragraph before all sections."""
    counts = ", ".join(f"{n} {status}" for status, n in sorted(tables.counts.items()))
    return f"Cells: {counts}. Intervals are 95%: the wider of the bootstrap over users and t over seeds."


def sections(tables: Tables) -> Iterator[Section]:
    """All that there is to show, in order."""
    yield from (_leaderboard(table) for table in tables.tables)
    yield from (Section(title, [Grid(head, body)]) for title, head, body in clean_tables(tables))
    further = (
        _twins,
        _curves,
        rewritten_section,
        stages_section,
        _poisoning,
        _radii,
        _ensembles,
        _defenses,
        _notes,
        _failures,
        _skipped,
    )
    yield from (section for of in further if (section := of(tables)) is not None)


def _leaderboard(table: Mapping[str, Any]) -> Section:
    within = "Ranks are within one model: the same ε is not the same strength for two models."
    model_by_model = table["surface"] in ("embedding", "parameters")
    judged_by = f" ({', '.join(table['attacks'])})" if table["ensemble"] else ""
    attacks = ", ".join(table["attacks"])
    words = [f"**{table['title']}**: {attacks}."] if table["title"] != attacks else []  # the heading names an ensemble
    words += [within] if model_by_model else []
    blocks: list[Block] = [*([" ".join(words)] if words else []), Grid(*table_lines(table))]
    return Section(f"{title_of(table)}{judged_by}", blocks, "leaderboard", [table])


def clean_tables(tables: Tables) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """(title, header, rows) per data set and split of what no ranking table shows."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in tables.clean:
        groups.setdefault((row["dataset"], row["split"]), []).append(row)
    for (dataset, split), rows in groups.items():
        metrics = list(dict.fromkeys(metric for row in rows for metric in row["values"]))
        head = ["model", "defence", *metrics, "users hit@10", "flags"]
        body = [
            [
                row["model_label"],
                defense(row),
                *(bounded(row["values"].get(metric)) for metric in metrics),
                f"{row['users_hit']:.0f} of {row['users']}",
                row["flags"],
            ]
            for row in rows
        ]
        yield f"{dataset}, {split}: clean values", head, body


def _failures(tables: Tables) -> Section | None:
    if not tables.failures:
        return None
    lines = []
    for row in tables.failures:
        attack = "clean" if row["attack_label"] == "none" else f"{row['attack_label']} ε={row['epsilon']:g}"
        what = ", ".join([row["dataset"], row["model_label"], defense(row), attack, f"seed {row['seed']}"])
        lines.append(f"{what}: {row['error']} (cell {row['cell']})")
    return Section("Failed cells", [Bullets(lines)])


def _skipped(tables: Tables) -> Section | None:
    lines = [f"{counted(count, 'cell')}: {reason}" for reason, count in tables.skipped.items()]
    return Section("Skipped cells", [Bullets(lines)]) if lines else None


def _poisoning(tables: Tables) -> Section | None:
    if not tables.poisoning:
        return None
    head = ["model", "defence", "attack", "ε", "metric", "before", "after", "effect", "null control", "verdict"]
    body = [
        [
            row["model_label"],
            defense(row),
            row["attack_label"],
            f"{row['epsilon']:g}",
            row["metric"],
            number(row["before"]),
            number(row["after"]),
            bounded(row["effect"]),
            f"[{number(row['control'][1])}, {number(row['control'][2])}]",
            row["verdict"] or "–",
        ]
        for row in tables.poisoning
    ]
    text = (
        "The null control is what retraining with other seeds does by itself; an effect inside it counts as none. "
        "Without enough seeds for a control there is no verdict."
    )
    alike = dict.fromkeys(row["metric"] for row in tables.poisoning if row["alike"])
    if alike:
        text += (
            f" Rows of {', '.join(alike)} say how alike two lists are (higher is more alike, 1 is the same list): "
            "`before` for the clean lists of two seeds, `after` for a poisoned list and its clean twin of the same "
            "seed. Only a fall counts: poisoning moved the lists further than retraining does."
        )
    return Section("Poisoning against its null control", [text, placed(tables.poisoning, head, body)])


def _twins(tables: Tables) -> Section | None:
    """A table per data set, split and attack."""
    if not tables.twins:
        return None
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in tables.twins:
        groups.setdefault(twins_title(row), []).append(row)
    names = ("twin_clean", "twin_attacked", "robust_clean", "robust_attacked", "gain")
    head = ["model", "defence", "metric", "undefended: clean", "attacked", "robust: clean", "attacked", "gain", "seeds"]
    text = (
        "Accuracy, precision, recall and F1 of like/dislike are over each user's held-out items and as many fixed "
        "negatives, at p = 0.5, calibrated once per victim on clean validation items. Gain: robust less undefended "
        "under the attack, paired."
    )
    blocks: list[Block] = [text]
    for title, rows in groups.items():
        body = [
            [row["model_label"], defense(row), row["metric"], *(bounded(row[n]) for n in names), f"{row['seeds']}"]
            for row in rows
        ]
        blocks += [f"**{title}**", Grid(head, body)]
    told: dict[str, None] = {}
    for row, where in zip(tables.twins, places(tables.twins), strict=True):
        place = f"{where}: " if where else ""
        for count, who in zip(row["inverted"], ("none", defense(row)), strict=True):
            if count:
                told[
                    f"{place}{row['model_label']}, {who}: {count} of {row['seeds']} fits score disliked items higher."
                ] = None
    blocks += ["Calibrations with a ≤ 0:", Bullets(list(told))] if told else []
    return Section("Robust model against its twin", blocks, "twins", tables.twins)


def _curves(tables: Tables) -> Section | None:
    if not tables.curves:
        return None
    head = ["model", "defence", "attack", "clean", "along ε", "area"]
    body = [
        [
            row["model_label"],
            defense(row),
            row["attack_label"],
            number(row["value"][0]),
            ", ".join(f"{e:g}: {number(v)}" for e, v in zip(row["epsilon"][1:], row["value"][1:], strict=True)),
            number(row["area"]),
        ]
        for row in tables.curves
    ]
    text = f"Mean {tables.curves[0]['metric']} over users and seeds, and its mean over the budget (trapezoid over ε)."
    return Section("Along ε", [text, placed(tables.curves, head, body)], "curves", tables.curves)


def _radii(tables: Tables) -> Section | None:
    if not tables.radii:
        return None
    head = ["model", "defence", "attack", "users hit", "q25", "median", "q75", "never broken"]
    body = [
        [
            row["model_label"],
            defense(row),
            row["attack_label"],
            f"{100 * row['hit_share']:.1f}%",
            *(number(row[name]) for name in ("radius_q25", "radius_q50", "radius_q75")),
            f"{100 * row['unbroken_share']:.1f}%",
        ]
        for row in tables.radii
    ]
    text = (
        "The least ε that this attack found to push a hit user's item out of the top k, among users hit at clean: "
        "an upper bound, a stronger attack may need less."
    )
    return Section("Radius of hit users", [text, placed(tables.radii, head, body)])


def _ensembles(tables: Tables) -> Section | None:
    if not tables.ensembles:
        return None
    head = ["model", "defence", "attack", "ε", "to break", "broken", "members", "queries", "gradients"]
    body = [
        [
            row["model_label"],
            defense(row),
            ", ".join(dict.fromkeys((row["surface"], row["norm"], row["goal"]))),
            f"{row['epsilon']:g}{unit_of(row)}",
            "–" if row["to_break"] is None else f"{row['to_break']:.0f}",
            "–" if row["broken"] is None else f"{row['broken']:.1f}",
            ", ".join(_part(member) for member in row["members"]),
            f"{row['queries']:.3g}",
            f"{row['gradients']:.3g}",
        ]
        for row in tables.ensembles
    ]
    text = (
        "Per victim, mean over seeds: users whose goal was not reached at clean, users that the ensemble broke, each "
        "member's share of first breaks (where one perturbation serves all users: −NDCG@k, or the promoted items' "
        "NDCG@k), and the cost in scored and differentiated users. Where every user is attacked alone and held-out "
        "items shall fall, a user who is broken is left alone: ranks are bounds, and only metrics within k are taken "
        "from them."
    )
    return Section("What the ensemble's members did", [text, placed(tables.ensembles, head, body)])


def _part(member: Mapping[str, Any]) -> str:
    if "first_breaks" in member:
        return f"{member['name']} {100 * member['first_breaks']:.0f}%"
    return f"{member['name']} {number(member['damage'])}"


def _defenses(tables: Tables) -> Section | None:
    """What trained or stood before the models: a label says little, and one label may have settings for each model."""
    labels = [row["defense_label"] for row in tables.defenses]
    lines = []
    for row in tables.defenses:
        settings = ", ".join(f"{name} {_setting(value)}" for name, value in row["settings"].items())
        whose = f" (on {', '.join(row['models'])})" if labels.count(row["defense_label"]) > 1 else ""
        told = f"{row['defense_label']}{whose}: `{row['defense']}`"
        lines.append(f"{told} with {settings}." if settings else f"{told}.")
    return Section("Settings of the defences", [Bullets(lines)]) if lines else None


def _setting(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _notes(tables: Tables) -> Section | None:
    seen: dict[str, None] = {}
    rows = [*tables.rows(), *tables.clean]
    for row, where in zip(rows, places(rows), strict=True):
        place = f"{where}: " if where else ""
        for note in row["notes"]:
            numbers = ", ".join(
                f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in note["numbers"].items()
            )
            seen[f"{place}{row['model_label']}, {defense(row)}: **{note['flag']}**: {note['why']} ({numbers})."] = None
    return Section("Flags", [Bullets(list(seen))]) if seen else None
