"""Builds the table with the summaries of the data sets."""

from __future__ import annotations

from dataclasses import dataclass

from robench.api.summary import DataSummary
from robench.tables.results import Results


@dataclass(frozen=True)
class DataRow:
    """One data set with its split.

    Args:
        dataset: the label of the data set.
        split: the label of the split.
        summary: the summary of the data.
    """

    dataset: str
    split: str
    summary: DataSummary


def build_data_rows(results: Results) -> list[DataRow]:
    """Returns a row per data set and split, in the order of the plan.

    Plans from earlier versions of robench have no summaries, so there are no rows for them.
    """
    known = results.plan.data
    return [DataRow(*place, known["/".join(place)]) for place in results.places if "/".join(place) in known]
