"""Neural recommenders: one path ``embed -> (+ delta) -> score_from / loss_from`` for training, attack and defence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from robench.api.attacks.ball import Delta
from robench.api.component import BaseConfig
from robench.api.data import IntArray, Interactions, TrainData
from robench.api.models.base import Model
from robench.api.rng import Rng
from robench.api.threat import Surface

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Rows to embed.

    Args:
        users: int64 [B].
        histories: int64 [B, L], right-padded with ``n_items``; what is hidden from the model is masked already.
        targets: training only; named by the model.
    """

    users: Tensor
    histories: Tensor
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        if self.users.device == device:
            return self
        targets = {name: part.to(device, non_blocking=True) for name, part in self.targets.items()}
        return Batch(self.users.to(device), self.histories.to(device), targets)


@dataclass(frozen=True)
class Embedded:
    """Embedded inputs of a batch, right after the lookup.

    Args:
        inputs: what an attack may perturb: name -> float [B, ..., d].
        valid: where it may: name -> bool [B, ...]; padding and special tokens are False.
        context: passive things that are computed once (item table, propagated graph).
    """

    inputs: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    context: Mapping[str, Any] = field(default_factory=dict)

    def plus(self, delta: Delta) -> Embedded:
        """These inputs with δ added at the valid places; inputs that ``delta`` does not name stay."""
        moved = {
            name: part + delta[name] * self.valid[name].unsqueeze(-1)
            for name, part in self.inputs.items()
            if name in delta
        }
        return replace(self, inputs={**self.inputs, **moved})

    def zero(self) -> dict[str, Tensor]:
        """δ = 0."""
        return {name: torch.zeros_like(part) for name, part in self.inputs.items()}

    def sizes(self) -> Tensor:
        """Entries of a row that may be perturbed, d · n_valid: float [B]."""
        return (
            torch.stack([self.valid[n].reshape(len(x), -1).sum(1) * x.shape[-1] for n, x in self.inputs.items()])
            .sum(0)
            .float()
        )

    def square_sum(self) -> Tensor:
        """Sum of squares over the valid entries of each row: float64 [B]."""
        parts = [(x * self.valid[n].unsqueeze(-1)).flatten(1).double().square().sum(1) for n, x in self.inputs.items()]
        return torch.stack(parts).sum(0)


class Losses(NamedTuple):
    """Losses per training target: ``value`` float [N], ``row`` int64 [N], its row in the batch."""

    value: Tensor
    row: Tensor


class TorchConfig(BaseConfig):
    """Training settings of a neural model (Adam; early stopping on validation NDCG@10, best weights kept)."""

    epochs: int = Field(default=20, ge=1, description="Most passes over the training data")
    batch_size: int = Field(default=256, ge=1, description="Training rows per optimiser step")
    learning_rate: float = Field(default=1e-3, gt=0, description="Step size of Adam")
    weight_decay: float = Field(default=0.0, ge=0, description="Weight of the L2 penalty in Adam")
    clip: float = Field(default=5.0, gt=0, description="Largest L2 norm of the gradient of one step")
    patience: int = Field(
        default=5, ge=1, description="Validations in a row without a better NDCG@10 after which training stops"
    )
    min_epochs: int = Field(default=0, ge=0, description="Epochs before patience starts to count")
    validate_every: int = Field(default=1, ge=1, description="Epochs from one validation to the next")
    validation_users: int = Field(default=10_000, ge=1, description="Most users per validation, a seeded sample")


class TorchModel(Model, nn.Module):
    """A model whose inputs can be perturbed. The host trains it; a subclass says what is computed.

    ``under`` runs any part of the model with other values in its ``tables``.
    """

    Config: ClassVar[type[TorchConfig]] = TorchConfig
    config: Any
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters"})
    neural: ClassVar[bool] = True
    n_items: int
    n_users: int
    item_counts: Tensor

    def __init__(self, config: BaseConfig | None = None) -> None:
        nn.Module.__init__(self)
        self.config = self.Config() if config is None else config

    @abstractmethod
    def build(self, data: TrainData, rng: Rng) -> None:
        """Create the parameters; torch's global generator is seeded around the call."""

    @abstractmethod
    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """One epoch of training batches, drawn from ``rng`` alone."""

    @abstractmethod
    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """The batch that scores ``users`` (int64 [B]) given the rows of ``history``."""

    @abstractmethod
    def embed(self, batch: Batch) -> Embedded:
        """Look the batch up: before position embeddings, layer norm and dropout."""

    @abstractmethod
    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Scores float [B, n_items], finite; uses ``batch`` only for the ids of masks and positions."""

    @abstractmethod
    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """The model's own training loss, a value per target."""

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """s_y − s_neg per training target (neg: the sampled or the hardest unmasked item); enables the hinge loss."""
        raise TypeError(f"{type(self).__name__} has no margins_from, which the hinge loss needs")

    @classmethod
    def has_margins(cls) -> bool:
        """Returns whether a subclass overrides ``margins_from``."""
        return cls.margins_from is not TorchModel.margins_from

    def initialise(self, data: TrainData, rng: Rng) -> None:
        """Set the sizes and ``build`` under a seeded stream."""
        self.n_items, self.n_users = data.n_items, data.n_users
        self.register_buffer("item_counts", torch.from_numpy(data.train.counts().astype(np.float32)))
        with rng.child("init").stream():
            self.build(data, rng.child("init"))

    def user_table(self, data: TrainData, dim: int, std: float, rng: Rng) -> nn.Embedding:
        """A normal table [n_users, dim]; real users' and fakes' rows come from separate streams.

        So the real users' rows do not depend on how many fakes there are.
        """
        real = torch.randn(data.n_real_users, dim, generator=rng.child("users").torch()) * std
        fake = torch.randn(data.n_users - data.n_real_users, dim, generator=rng.child("fakes").torch()) * std
        # Given weights, the table draws nothing from the global stream, whose state would depend on its size.
        return nn.Embedding(data.n_users, dim, _weight=torch.cat([real, fake]))

    def forward(self, call: Callable[..., T], *args: Any) -> T:
        """``call(*args)``: the door through which ``under`` enters."""
        return call(*args)

    def under(self, tables: Mapping[str, Tensor], call: Callable[..., T], *args: Any) -> T:
        """``call(*args)``, one of this model's methods, with ``tables`` in place of the parameters of these names.

        Nothing is changed in place, and gradients flow to ``tables``.
        """
        found: T = functional_call(self, dict(tables), (call, *args))
        return found

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    def fit(self, data: TrainData, rng: Rng) -> None:
        """The host's loop trains neural models (``robench.engine.training``)."""
        raise TypeError("a TorchModel is trained by the host's loop, not by fit()")

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Scores through the one path, without a gradient."""
        with torch.no_grad():
            batch = self.queries(users, history).to(self.device)
            return self.score_from(batch, self.embed(batch)).float().cpu().numpy()

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """By the history alone; a row without items gets the popular ones."""
        scores = super().newcomers(history)
        scores[history.lengths() == 0] = self.item_counts.cpu().numpy()
        return scores

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Parameters and buffers."""
        return {name: part.detach().cpu().numpy() for name, part in self.state_dict().items()}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Build, then load."""
        self.initialise(data, rng)
        self.load_state_dict({name: torch.from_numpy(np.array(part)) for name, part in state.items()})
