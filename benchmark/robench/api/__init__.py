"""The only package that a plugin may import. Names are re-exported lazily, so that listing never imports torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api.attack import (
        Attack,
        EmbeddingAttack,
        EmbeddingConfig,
        Ensemble,
        Evaluation,
        LossName,
        Member,
        MinimumNormAttack,
        MinimumNormConfig,
        Oracle,
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
    from robench.api.decoder import Decoder, Prefix, Soft, decoder_folder
    from robench.api.defense import Cleaned, Defense
    from robench.api.delta import Ball, Delta, added, wide
    from robench.api.edits import Slopes, edited, random_edits
    from robench.api.encoder import Encoder, folder_of, identity_of
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
    from robench.api.history import (
        DELETE,
        INSERT,
        KINDS,
        SUBSTITUTE,
        Edit,
        HistoryAttack,
        HistoryConfig,
        HistoryOracle,
    )
    from robench.api.hooks import hookimpl
    from robench.api.keeping import kept, kept_file
    from robench.api.metric import Metric, Needs, Outcome
    from robench.api.model import ColdItem, ColdUser, Model
    from robench.api.pairwise import PairwiseModel, sample_negatives
    from robench.api.poisoning import Corruption, PoisoningAttack, PoisoningConfig, Profiles
    from robench.api.reading import read
    from robench.api.rng import Rng
    from robench.api.sequence import SequenceConfig, SequenceModel, windows
    from robench.api.softmax import cross_entropy
    from robench.api.step import Step
    from robench.api.text import (
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
    from robench.api.threat import Surface, Threat
    from robench.api.token_model import LikelihoodModel, TokenModel, TokenReader, Tokens
    from robench.api.torch_model import Batch, Embedded, Losses, TorchConfig, TorchModel
    from robench.api.wrapped import Wrapped

_HOME = {
    "attack": (
        "Attack EmbeddingAttack EmbeddingConfig Ensemble Evaluation LossName Member MinimumNormAttack "
        "MinimumNormConfig Oracle"
    ),
    "component": "BaseConfig Component",
    "data": "Catalogue Dataset DatasetConfig FloatArray IntArray Interactions Item Ratings TrainData",
    "decoder": "Decoder Prefix Soft decoder_folder",
    "defense": "Cleaned Defense",
    "delta": "Ball Delta added wide",
    "encoder": "Encoder folder_of identity_of",
    "errors": "DataError PluginError RobenchError SealedError SettingError UserError counted did_you_mean",
    "executor": "Emit Event Executor Task Work",
    "edits": "Slopes edited random_edits",
    "history": "DELETE INSERT KINDS SUBSTITUTE Edit HistoryAttack HistoryConfig HistoryOracle",
    "hooks": "hookimpl",
    "keeping": "kept kept_file",
    "metric": "Metric Needs Outcome",
    "model": "ColdItem ColdUser Model",
    "pairwise": "PairwiseModel sample_negatives",
    "poisoning": "Corruption PoisoningAttack PoisoningConfig Profiles",
    "reading": "read",
    "rng": "Rng",
    "sequence": "SequenceConfig SequenceModel windows",
    "softmax": "cross_entropy",
    "step": "Step",
    "text": "Exposure TextAttack TextConfig TextOracle TokenSlopes Unit edits_between item_text pieces",
    "threat": "Surface Threat",
    "token_model": "LikelihoodModel TokenModel TokenReader Tokens",
    "torch_model": "Batch Embedded Losses TorchConfig TorchModel",
    "wrapped": "Wrapped",
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
    "Decoder",
    "Defense",
    "Delta",
    "Edit",
    "Embedded",
    "EmbeddingAttack",
    "EmbeddingConfig",
    "Emit",
    "Encoder",
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
    "Prefix",
    "Profiles",
    "Ratings",
    "Rng",
    "RobenchError",
    "SealedError",
    "SequenceConfig",
    "SequenceModel",
    "SettingError",
    "Slopes",
    "Soft",
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
    "counted",
    "cross_entropy",
    "decoder_folder",
    "did_you_mean",
    "edited",
    "edits_between",
    "folder_of",
    "hookimpl",
    "identity_of",
    "item_text",
    "kept",
    "kept_file",
    "pieces",
    "random_edits",
    "read",
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
