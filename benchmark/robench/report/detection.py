"""Builds the sections on defences of the training data."""

from __future__ import annotations

from robench.report.blocks import DetectionChart, Grid, Section
from robench.report.numbers import build_grid, format_attack, format_defense, format_interval, format_number
from robench.tables.build import Tables

DETECTION = (
    "A detector does not know which users are fake, or how many there are. Precision and recall are those of the users "
    "that it dropped. A row without an attack shows its false alarms on clean data, as a share of the real users. "
    "`known`: the detector has learned from fake users of this attack."
)
DEFENCES = (
    "Each defended model beside its undefended twin, trained on the same data. The difference is defended less "
    "undefended, paired over seeds and users (or promoted items). Without an attack, it is what the defence costs."
)


def build_detection_grid(tables: Tables) -> Grid:
    """Returns the table that shows how well detectors find fake users."""
    rows = tables.detection
    places = [(row.dataset, row.split) for row in rows]
    head = ["defence", "attack", "ε", "AUROC", "average precision", "precision", "recall", "false alarms", "known"]
    body = [
        [
            row.defense_label,
            *format_attack(row.attack_label, row.epsilon),
            *map(format_number, (row.auroc, row.average_precision, row.precision, row.recall, row.false_alarms)),
            "yes" if row.known else "",
        ]
        for row in rows
    ]
    if len(set(places)) == 1:
        return Grid(head, body)
    return Grid(["data", *head], [[", ".join(place), *line] for place, line in zip(places, body, strict=True)])


def build_detection_section(tables: Tables) -> Section | None:
    """Returns the section on detectors of fake users, or None if there are none."""
    if not tables.detection:
        return None
    chart = DetectionChart([row for row in tables.detection if row.roc is not None])
    return Section("Detection", [DETECTION, build_detection_grid(tables)], chart)


def build_training_defences_section(tables: Tables) -> Section | None:
    """Returns the section on defended models and undefended twins on the same data.

    The result is None if there are no such models.
    """
    if not tables.training_defences:
        return None
    head = ["model", "defence", "attack", "ε", "metric", "undefended", "defended", "difference", "verdict"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            *format_attack(row.attack_label, row.epsilon),
            str(row.metric),
            format_number(row.twin),
            format_number(row.defended),
            format_interval(row.difference),
            row.verdict or "–",
        ]
        for row in tables.training_defences
    ]
    keys = [row.key for row in tables.training_defences]
    return Section("Defences on the same training data", [DEFENCES, build_grid(keys, head, body)])
