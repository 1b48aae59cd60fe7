"""Compares results on Amazon Beauty with published values.

The functions read a folder of results of ``suites/beauty.yaml``. ``tools/perf/quality.py`` prints the comparison.
"""

from dataclasses import dataclass

import robench
from robench.api.errors import UserError

METRICS = ("ndcg@10", "hr@10")


@dataclass
class Published:
    """Published NDCG@10 and HR@10 of a model on the suite's file and split.

    The values are those of a full ranking.
    """

    source: str
    values: tuple[float, float]


S3_REC = "S3-Rec, CIKM 2020"
# RecBole does not mask the items of the user's history. Everything else masks them.
RECBOLE = "RecBole, cross-entropy, unmasked"
PUBLISHED = {
    "sasrec": [Published(S3_REC, (0.0318, 0.0605)), Published(RECBOLE, (0.0405, 0.0820))],
    "gru4rec": [Published(S3_REC, (0.0137, 0.0283))],
}


def clean_values(folder):
    """Returns the clean values of each model without a defence, by metric.

    A leaderboard has a row per defence and threat model. The clean value of a model does not depend on the threat
    model.

    Raises:
        UserError: if the folder has no such rows, or has rows of several data sets.
    """
    frame = robench.load(folder).leaderboard
    frame = frame[frame["defense"] == "none"].drop_duplicates(["dataset", "split", "model_label", "metric"])
    places = frame[["dataset", "split"]].drop_duplicates()
    if len(places) != 1:
        problem = f"{len(places)} data sets with models without a defence, instead of one"
        raise UserError(problem, where=str(folder))
    return {label: table.set_index("metric") for label, table in frame.groupby("model_label", sort=False)}


def rows(models):
    """Returns the rows of the table, and the shortfalls against published values.

    Each shortfall names a model and a metric. A row of a model has the label, the number of seeds, and each metric with
    its 95% interval. The published values follow, one per metric. A metric that was not measured is a shortfall if
    there is a published value.

    Args:
        models: the clean values of each model.
    """
    found, below = [], []
    for label, values in models.items():
        cells = [str(label), str(min(values["seeds"]))]
        for metric in METRICS:
            shown = "–"
            if metric in values.index:
                one = values.loc[metric]
                shown = f"{one['clean']:.4f} [{one['clean_low']:.4f}, {one['clean_high']:.4f}]"
            cells.append(shown)
        published = PUBLISHED.get(str(label), [])
        for place, metric in enumerate(METRICS):
            cells.append("; ".join(f"{other.values[place]:.4f} ({other.source})" for other in published) or "–")
            if published and metric not in values.index:
                below.append(f"{label} has no {metric}")
            elif any(values.loc[metric, "clean"] < other.values[place] for other in published):
                below.append(f"{label} in {metric}")
        found.append(cells)
    return found, below


def compare(folder):
    """Prints the table, and returns whether no model is below a published value."""
    found, below = rows(clean_values(folder))
    head = ["model", "seeds", "NDCG@10 [95%]", "HR@10 [95%]", "published NDCG@10", "published HR@10"]
    for cells in (head, ["---"] * len(head), *found):
        print(f"| {' | '.join(cells)} |")
    for one in below:
        print(f"not at least a published value: {one}")
    return not below
