"""The only package that a plugin may import. Names are re-exported lazily, so that listing never imports torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api.attacks.ball import Ball, Delta, added, wide
    from robench.api.attacks.base import Attack, Evaluation, LossName
    from robench.api.attacks.edits import edited, random_edits
    from robench.api.attacks.embedding import (
        EmbeddingAttack,
        EmbeddingConfig,
        MinimumNormAttack,
        MinimumNormConfig,
        Oracle,
    )
    from robench.api.attacks.ensemble import Ensemble, Member
    from robench.api.attacks.history import (
        DELETE,
        INSERT,
        KINDS,
        SUBSTITUTE,
        Edit,
        HistoryAttack,
        HistoryConfig,
        HistoryOracle,
    )
    from robench.api.attacks.poisoning import Corruption, PoisoningAttack, PoisoningConfig, Profiles
    from robench.api.attacks.slopes import Slopes
    from robench.api.attacks.text import (
        Exposure,
        TextAttack,
        TextConfig,
        TextOracle,
        TokenSlopes,
        Unit,
        edits_between,
        item_text,
        pieces,
    )
    from robench.api.component import BaseConfig, Component
    from robench.api.data import (
        Catalogue,
        Dataset,
        DatasetConfig,
        FloatArray,
        IntArray,
        Interactions,
        Item,
        Ratings,
        TrainData,
    )
    from robench.api.defense import Cleaned, Defense
    from robench.api.errors import (
        DataError,
        PluginError,
        RobenchError,
        SealedError,
        SettingError,
        UserError,
        counted,
        did_you_mean,
    )
    from robench.api.executor import Emit, Event, Executor, Task, Work
    from robench.api.hooks import hookimpl
    from robench.api.metric import Metric, Needs, Outcome
    from robench.api.models.base import ColdItem, ColdUser, Model
    from robench.api.models.pairwise import PairwiseModel, sample_negatives
    from robench.api.models.sequence import SequenceConfig, SequenceModel, windows
    from robench.api.models.softmax import cross_entropy
    from robench.api.models.step import Step
    from robench.api.models.tokens import LikelihoodModel, TokenModel, TokenReader, Tokens
    from robench.api.models.torch import Batch, Embedded, Losses, TorchConfig, TorchModel
    from robench.api.models.wrapped import Wrapped
    from robench.api.rng import Rng
    from robench.api.threat import Surface, Threat
    from robench.api.usage import count_usage

_HOME = {
    "attacks.ball": "Ball Delta added wide",
    "attacks.base": "Attack Evaluation LossName",
    "attacks.edits": "edited random_edits",
    "attacks.embedding": "EmbeddingAttack EmbeddingConfig MinimumNormAttack MinimumNormConfig Oracle",
    "attacks.ensemble": "Ensemble Member",
    "attacks.history": "DELETE INSERT KINDS SUBSTITUTE Edit HistoryAttack HistoryConfig HistoryOracle",
    "attacks.poisoning": "Corruption PoisoningAttack PoisoningConfig Profiles",
    "attacks.slopes": "Slopes",
    "attacks.text": "Exposure TextAttack TextConfig TextOracle TokenSlopes Unit edits_between item_text pieces",
    "component": "BaseConfig Component",
    "data": "Catalogue Dataset DatasetConfig FloatArray IntArray Interactions Item Ratings TrainData",
    "defense": "Cleaned Defense",
    "errors": "DataError PluginError RobenchError SealedError SettingError UserError counted did_you_mean",
    "executor": "Emit Event Executor Task Work",
    "hooks": "hookimpl",
    "metric": "Metric Needs Outcome",
    "models.base": "ColdItem ColdUser Model",
    "models.pairwise": "PairwiseModel sample_negatives",
    "models.sequence": "SequenceConfig SequenceModel windows",
    "models.softmax": "cross_entropy",
    "models.step": "Step",
    "models.tokens": "LikelihoodModel TokenModel TokenReader Tokens",
    "models.torch": "Batch Embedded Losses TorchConfig TorchModel",
    "models.wrapped": "Wrapped",
    "rng": "Rng",
    "threat": "Surface Threat",
    "usage": "count_usage",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "DELETE",
    "INSERT",
    "KINDS",
    "SUBSTITUTE",
    "Attack",
    "Ball",
    "BaseConfig",
    "Batch",
    "Catalogue",
    "Cleaned",
    "ColdItem",
    "ColdUser",
    "Component",
    "Corruption",
    "DataError",
    "Dataset",
    "DatasetConfig",
    "Defense",
    "Delta",
    "Edit",
    "Embedded",
    "EmbeddingAttack",
    "EmbeddingConfig",
    "Emit",
    "Ensemble",
    "Evaluation",
    "Event",
    "Executor",
    "Exposure",
    "FloatArray",
    "HistoryAttack",
    "HistoryConfig",
    "HistoryOracle",
    "IntArray",
    "Interactions",
    "Item",
    "LikelihoodModel",
    "LossName",
    "Losses",
    "Member",
    "Metric",
    "MinimumNormAttack",
    "MinimumNormConfig",
    "Model",
    "Needs",
    "Oracle",
    "Outcome",
    "PairwiseModel",
    "PluginError",
    "PoisoningAttack",
    "PoisoningConfig",
    "Profiles",
    "Ratings",
    "Rng",
    "RobenchError",
    "SealedError",
    "SequenceConfig",
    "SequenceModel",
    "SettingError",
    "Slopes",
    "Step",
    "Surface",
    "Task",
    "TextAttack",
    "TextConfig",
    "TextOracle",
    "Threat",
    "TokenModel",
    "TokenReader",
    "TokenSlopes",
    "Tokens",
    "TorchConfig",
    "TorchModel",
    "TrainData",
    "Unit",
    "UserError",
    "Work",
    "Wrapped",
    "added",
    "count_usage",
    "counted",
    "cross_entropy",
    "did_you_mean",
    "edited",
    "edits_between",
    "hookimpl",
    "item_text",
    "pieces",
    "random_edits",
    "sample_negatives",
    "wide",
    "windows",
]


def __getattr__(name: str) -> Any:
    """Import the home of ``name`` when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'robench.api' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"robench.api.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every public name."""
    return sorted(__all__)
