"""Fits the victim's model and defence to other users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from robench.api.data import Interactions, TrainData
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.data.titles import read_catalogue, title_reader
from robench.engine.fit.loop import fit
from robench.engine.fit.sanitising import sanitise


@dataclass(frozen=True, eq=False)
class Refit:
    """The victim's model and defence, ready to be fitted to other interactions.

    Args:
        data: the data of the victim's fit. The validation items also select the settings of other fits.
        model: the class of the victim's model.
        settings: the resolved settings of the victim's model.
        defense: the victim's defence.
        device: the device on which a model is fitted.
    """

    data: TrainData
    model: type[Model]
    settings: Mapping[str, Any]
    defense: Defense
    device: torch.device

    def fit(self, train: Interactions, rng: Rng) -> Model:
        """Returns a model that is fitted to these interactions in place of the victim's.

        Args:
            train: the interactions, with one row per user of the data.
            rng: the random stream of this fit.
        """
        if type(self.defense).overrides("sanitise"):
            train = sanitise(self.defense, train, rng).train
        catalogue = read_catalogue(self.data.catalogue, title_reader(self.defense))
        model: Model = self.model.make(**self.settings)
        fit(model, replace(self.data, train=train, catalogue=catalogue), self.defense, rng.child("fit"), self.device)
        if isinstance(model, TorchModel):
            model.eval()
        if type(self.defense).overrides("wrap"):
            model = self.defense.wrap(model, rng.child("wrap"))
        return model
