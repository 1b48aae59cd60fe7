"""Makes records from the measurements and errors of one victim, for the worker."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robench.api.errors import UserError
from robench.api.escapes import MOST_MESSAGE, MOST_TRACEBACK, message_of, shortened
from robench.engine.attack.measurement import Measurement
from robench.run.dependencies import Dependencies, attack_of
from robench.run.task import record_of
from robench.spec import Cell
from robench.store.provenance import peak_memory, provenance
from robench.store.record import Record, Status


@dataclass(eq=False)
class Recorder:
    """An object that makes the records of one victim's cells.

    Args:
        dependencies: the code and the files that the cells depend on.
        threads: the number of torch threads.
        data_sha: the digest of the prepared data.
        device: the device on which the victim is fitted, or an empty string until the device is known.
        fit: the report of the fit, which is empty until the fit has ended.
    """

    dependencies: Dependencies
    threads: int
    data_sha: str
    device: str = ""
    fit: Mapping[str, Any] = field(default_factory=dict)

    def measured(
        self,
        cell: Cell,
        start: float,
        measurement: Measurement,
        metrics: Mapping[str, Any],
        usage: Mapping[str, int],
    ) -> Record:
        """Returns the record of a measured cell.

        Args:
            cell: the cell.
            start: the value of ``time.perf_counter()`` when the measurement began.
            measurement: the arrays, the achieved budget and the diagnostics of the cell.
            metrics: the value of each measure, and the version of its metric.
            usage: the numbers of texts and tokens that language models read and wrote during the measurement.
        """
        record = self._record(cell, "ok", start)
        if outside := self.dependencies.outside(cell):
            record["provenance"]["outside"] = outside
        record |= {"metrics": metrics, "achieved": measurement.achieved, "diagnostics": measurement.diagnostics}
        extra = {
            "checks": measurement.checks,
            "members": measurement.members,
            "titles": measurement.titles,
            "detection": measurement.detection,
            "certificate": measurement.certificate,
            "membership": measurement.membership,
            "privacy": self.fit.get("privacy"),
            "reading": usage,
        }
        return record | {name: value for name, value in extra.items() if value}

    def failed(self, cell: Cell, error: BaseException) -> Record:
        """Returns the record of a cell that could not be measured, with the traceback.

        The middle of a long message or traceback is cut out.
        """
        text = "".join(traceback.format_exception(error))
        cause = {
            "type": type(error).__name__,
            "message": shortened(message_of(error), MOST_MESSAGE),
            "traceback": shortened(text, MOST_TRACEBACK),
        }
        return self._record(cell, "failed", None) | {"error": cause}

    def _record(self, cell: Cell, status: Status, start: float | None) -> Record:
        victim, fit = cell.victim, dict(self.fit)
        fit_seconds = fit.pop("fit_seconds", None)
        fit.pop("privacy", None)  # a field of its own
        parts = (victim.dataset, victim.model, victim.defense, attack_of(cell))
        owners = [part.owner for part in parts if part is not None]
        origin = provenance(owners, self._code(cell), device=self.device, threads=self.threads)
        return record_of(
            cell,
            status,
            metrics={},
            achieved={},
            diagnostics={},
            fit=fit,
            seconds=None if start is None else round(time.perf_counter() - start, 4),
            fit_seconds=fit_seconds,
            peak_memory_mib=peak_memory(),
            provenance={**origin, "data_sha256": self.data_sha},
            error=None,
        )

    def _code(self, cell: Cell) -> dict[str, str]:
        try:
            return self.dependencies.code(cell)
        except UserError:  # The plugin cannot be imported. The record's error reports the reason.
            return {}
