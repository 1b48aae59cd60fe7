"""Builds every table of a folder of results, without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench.api.errors import UserError
from robench.api.metric import Measure, Metric
from robench.store.archive import AGGREGATE
from robench.store.folder import Store
from robench.store.plan_file import PlannedTuning
from robench.tables.cells import (
    FailureRow,
    TimingRow,
    ValueRow,
    build_failure_rows,
    build_timing_rows,
    build_value_rows,
)
from robench.tables.certificates import CertificateRow, build_certificate_rows
from robench.tables.clean import REFERENCE, CleanRow, build_clean_rows
from robench.tables.completeness import IncompleteModel, find_incomplete_models
from robench.tables.curves import CurveRow, build_curve_rows
from robench.tables.data import DataRow, build_data_rows
from robench.tables.defences import DefenceRow, build_defence_rows
from robench.tables.detection import DetectionRow, build_detection_rows
from robench.tables.examples import ExampleRow, build_example_rows
from robench.tables.inputs import InputRow, build_input_rows
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable, build_leaderboard, build_rows_without_attacks
from robench.tables.members import EnsembleRow, build_ensemble_rows
from robench.tables.membership import MembershipRow, build_membership_rows
from robench.tables.origin import Origin, build_origin
from robench.tables.page_values import PageValues, build_page_values
from robench.tables.poisoning import PoisoningRow, build_poisoning_rows
from robench.tables.privacy import PrivacyRow, build_privacy_rows
from robench.tables.radii import RadiusRow, build_radius_rows
from robench.tables.reranking import RerankingRow, build_reranking_rows
from robench.tables.results import Results, read_results
from robench.tables.slices import SliceRow, build_slice_rows
from robench.tables.titles import TitleRow, build_title_rows
from robench.tables.training_defences import TrainingDefenceRow, build_training_defence_rows
from robench.tables.transfer import TransferRow, build_transfer_rows
from robench.tables.twins import TwinRow, build_twin_rows


@dataclass(frozen=True)
class Tables:
    """Every table of a folder.

    Args:
        suite: the name of the suite.
        metric_versions: the version of each measure's metric.
        counts: the number of cells with each status.
        leaderboard: the ranking tables.
        poisoning: poisonings, compared with their null control.
        radii: the quartiles of the smallest ε that breaks a user.
        ensembles: ensembles with the outcomes of their members.
        curves: the values of a metric at each ε.
        clean: the clean values of the rows outside the ranking tables.
        defences: the settings that each label of a defence stands for.
        failures: the cells that failed.
        skipped: the number of skipped cells by reason.
        twins: defended models, compared with their undefended twins.
        titles: the outcomes of attacks on titles.
        reranking: models that rerank candidates.
        values: the rows of cells.csv.
        timings: the rows of timings.csv.
        data: the summary of each data set.
        inputs: the sizes of the victims' inputs. A relative ε is relative to such a size.
        tuned: the search that chose the settings, or None if the suite names no search.
        damaged: the errors about damaged files. The tables leave these files out.
        without_attacks: the rows of leaderboard.csv if the suite has no attacks.
        incomplete: the models with cells that failed or are missing.
        detection: how well defences on training data detect fake users.
        training_defences: defended models, compared with their twins on the same training data.
        slices: the values of groups of users.
        page_values: further values of each ranking table, in the order of the tables.
        examples: lists of users before and after an attack, for each ranking table.
        origin: where the numbers come from: versions, machines and digests.
        transfer: the effects of attacks with fake users on victims other than their surrogates.
        certificates: plain and certified values of models that combine votes of base models.
        privacy: the guarantees of differentially private fits.
        membership: how well attacks tell members of the training data from other users.
        published: ``aggregate`` if the arrays of users are withheld, else an empty string.
    """

    suite: str
    metric_versions: Mapping[Measure, int]
    counts: Mapping[str, int]
    leaderboard: list[LeaderboardTable]
    poisoning: list[PoisoningRow]
    radii: list[RadiusRow]
    ensembles: list[EnsembleRow]
    curves: list[CurveRow]
    clean: list[CleanRow]
    defences: list[DefenceRow]
    failures: list[FailureRow]
    skipped: Mapping[str, int]
    twins: list[TwinRow]
    titles: list[TitleRow]
    reranking: list[RerankingRow]
    values: list[ValueRow]
    timings: list[TimingRow]
    data: list[DataRow] = field(default_factory=list)
    inputs: list[InputRow] = field(default_factory=list)
    tuned: PlannedTuning | None = None
    damaged: list[UserError] = field(default_factory=list)
    without_attacks: list[LeaderboardRow] = field(default_factory=list)
    incomplete: list[IncompleteModel] = field(default_factory=list)
    slices: list[SliceRow] = field(default_factory=list)
    detection: list[DetectionRow] = field(default_factory=list)
    training_defences: list[TrainingDefenceRow] = field(default_factory=list)
    page_values: list[PageValues] = field(default_factory=list)
    examples: list[list[ExampleRow]] = field(default_factory=list)
    origin: Origin = field(default_factory=Origin)
    transfer: list[TransferRow] = field(default_factory=list)
    certificates: list[CertificateRow] = field(default_factory=list)
    privacy: list[PrivacyRow] = field(default_factory=list)
    membership: list[MembershipRow] = field(default_factory=list)
    published: str = ""

    def rows(self) -> list[LeaderboardRow]:
        """Returns the rows of all ranking tables, in the order of the tables."""
        return [row for table in self.leaderboard for row in table.rows]

    def as_aggregates(self) -> Tables:
        """Returns these tables marked as aggregates, without the lists of single users."""
        return replace(self, published=AGGREGATE, examples=[])

    def with_page_values(self) -> Iterator[tuple[LeaderboardTable, PageValues]]:
        """Yields every ranking table with its further values, which may be empty."""
        return zip(self.leaderboard, self.page_values or [PageValues()] * len(self.leaderboard), strict=True)

    def csv_rows(self) -> list[LeaderboardRow]:
        """Returns the rows of leaderboard.csv."""
        return self.rows() or self.without_attacks


def build_tables(folder: Path, metrics: Mapping[str, Metric], store: Store | None = None) -> Tables:
    """Builds all tables of a folder of results.

    Args:
        folder: the folder of results.
        metrics: the metrics of plan.json, by identity.
        store: the store of the folder, if some of its arrays have already been read.

    Raises:
        UserError: if there is no plan, if a file that all cells share is damaged, if the plan contradicts a record, or
            if a record used a different version of a metric.
    """
    return make_tables(read_results(folder, metrics, store))


def make_tables(results: Results) -> Tables:
    """Builds all tables from the results of a folder.

    Raises:
        UserError: if a record used a different version of a metric.
    """
    leaderboard, poisoning = build_leaderboard(results), build_poisoning_rows(results)
    clean = build_clean_rows(results, [row.key for table in leaderboard for row in table.rows])
    return Tables(
        results.plan.suite,
        {measure: results.metric(measure).version for measure in results.plan.metrics},
        Counter(map(results.status, results.cells)),
        leaderboard,
        poisoning,
        build_radius_rows(results),
        build_ensemble_rows(results),
        build_curve_rows(results, REFERENCE),
        clean,
        build_defence_rows(results),
        build_failure_rows(results),
        Counter(cell.reason for cell in results.cells if results.status(cell) == "skipped"),
        build_twin_rows(results),
        build_title_rows(results),
        build_reranking_rows(results),
        list(build_value_rows(results)),
        build_timing_rows(results),
        build_data_rows(results),
        build_input_rows(results),
        results.plan.tuned,
        list(results.damaged.values()),
        build_rows_without_attacks(results, clean),
        find_incomplete_models(results),
        build_slice_rows(results),
        build_detection_rows(results),
        build_training_defence_rows(results),
        build_page_values(results, leaderboard),
        build_example_rows(results, leaderboard),
        build_origin(results),
        build_transfer_rows(results, poisoning),
        build_certificate_rows(results),
        build_privacy_rows(results),
        build_membership_rows(results),
    )
