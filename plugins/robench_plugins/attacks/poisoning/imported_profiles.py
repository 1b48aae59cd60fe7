"""Fake users that another tool has made."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from robench.api import IntArray, Interactions, PoisoningAttack, PoisoningConfig, Profiles, Rng
from robench.api.attacks.base import Adaptive
from robench.api.attacks.poisoning import AttackerView
from robench.api.attacks.profile_file import digest_profile_file, read_profile_file
from robench.api.errors import DataError


class ImportedProfiles(PoisoningAttack):
    """Adds the fake users of a file, as another tool has made them.

    ``robench data import-profiles`` writes the file. The profiles are frozen: they were made against another pipeline,
    so the attack's rows in tables are never ranked. Every profile must have at least one target of the suite. In the
    suite, ``targets: {items: [...]}`` names the targets by id. Items that the data lack are left out. The attack uses
    the first profiles of the file, as many as ε allows. If ε allows more than the file has, the attack uses all of
    them.
    """

    adaptive: ClassVar[Adaptive] = "frozen"

    class Config(PoisoningConfig):
        """Settings of the attack with imported profiles."""

        file: str = Field(min_length=1, description="File of profiles, relative to the current folder")
        profile_size: int | None = Field(default=10_000, ge=1, description="Largest number of items per fake user")

    config: Config

    def outside(self) -> str:
        """Returns the digest of the file.

        Raises:
            DataError: if the file cannot be read, or has a different format.
        """
        read_profile_file(Path(self.config.file))
        return digest_profile_file(Path(self.config.file))

    def craft(self, view: AttackerView, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng) -> Profiles:
        """Returns the first ``n_users`` profiles of the file.

        Items that the catalogue lacks are left out, and the costs state their number.

        Raises:
            DataError: if the file cannot be read, or if a profile has no target of the suite.
        """
        content, path = read_profile_file(Path(self.config.file)), self.config.file
        rows = {name: row for row, name in enumerate(view.catalogue.ids)}
        made, unknown = [], 0
        for number, profile in enumerate(content.profiles[:n_users]):
            items = np.array([rows[name] for name in profile if name in rows], dtype=np.int64)
            unknown += len(profile) - len(items)
            if len(targets) and not np.isin(items, targets).any():
                hint = f"targets: {{items: [{', '.join(content.targets)}]}}"
                raise DataError(f"fake user {number} has no target of the suite", where=path, hint=hint)
            made.append(items)
        return Profiles.of(made, {"unknown_items": unknown})

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Raises an error, because the ids in the file need the catalogue.

        Raises:
            TypeError: always. The host calls ``craft``.
        """
        raise TypeError("imported profiles need the ids of the catalogue")
