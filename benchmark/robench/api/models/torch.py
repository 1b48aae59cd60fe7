"""The base class of neural recommenders, and the types of inputs and losses.

Training, attacks and defences all compute scores in the same way. They call ``embed``, may add a perturbation to the
result, and then call ``score_from`` or ``loss_from``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from robench.api.attacks.ball import Delta
from robench.api.component import LATER, BaseConfig
from robench.api.data import IntArray, Interactions, TrainData
from robench.api.models.base import Model
from robench.api.models.divergence import Logits
from robench.api.models.terms import Terms
from robench.api.rng import Rng
from robench.api.surfaces import Surface

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """A batch of users and histories, before the embedding.

    Args:
        users: the users of the batch, int64 [B].
        histories: the items of each user, int64 [B, L], right-padded with ``n_items``. Items that the model must not
            see are already removed or masked.
        targets: the tensors that the model needs for training, by name.
    """

    users: Tensor
    histories: Tensor
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """Returns the batch with all tensors on a device."""
        if self.users.device == device:
            return self
        targets = {name: part.to(device, non_blocking=True) for name, part in self.targets.items()}
        return Batch(self.users.to(device), self.histories.to(device), targets)


@dataclass(frozen=True)
class Embedded:
    """The embedded inputs of a batch, directly after the lookup.

    Args:
        inputs: the tensors that an attack may perturb, by name, float [B, ..., d].
        valid: the places that an attack may perturb, by name, bool [B, ...]. Padding and special tokens are False.
        context: other values that ``embed`` computes, by name. A value may be the same for all users, such as the item
            table or the propagated graph. Any other value depends on places only, such as a mask. A model that reranks
            candidates may add the candidates and the order of all other items.
    """

    inputs: Mapping[str, Tensor]
    valid: Mapping[str, Tensor]
    context: Mapping[str, Any] = field(default_factory=dict)

    def plus(self, delta: Delta) -> Embedded:
        """Returns these inputs with ``delta`` added at the valid places.

        Inputs without an entry in ``delta`` stay the same.
        """
        moved = {
            name: part + delta[name] * self.valid[name].unsqueeze(-1)
            for name, part in self.inputs.items()
            if name in delta
        }
        return replace(self, inputs={**self.inputs, **moved})

    def zero(self) -> dict[str, Tensor]:
        """Returns a perturbation that is 0 for every input."""
        return {name: torch.zeros_like(part) for name, part in self.inputs.items()}

    def sizes(self) -> Tensor:
        """Returns the number of entries that may be perturbed in each row: float [B]."""
        return (
            torch.stack([self.valid[n].reshape(len(x), -1).sum(1) * x.shape[-1] for n, x in self.inputs.items()])
            .sum(0)
            .float()
        )

    def square_sum(self) -> Tensor:
        """Returns the sum of squares over the valid entries of each row: float64 [B]."""
        parts = [(x * self.valid[n].unsqueeze(-1)).flatten(1).double().square().sum(1) for n, x in self.inputs.items()]
        return torch.stack(parts).sum(0)


class Losses(NamedTuple):
    """The losses or margins of N training targets.

    Args:
        value: the loss or margin of each target, float [N].
        row: the row of the batch to which each target belongs, int64 [N].
    """

    value: Tensor
    row: Tensor


class TorchConfig(BaseConfig):
    """The training settings of a neural model.

    The host trains with Adam, stops early based on the NDCG@10 of validation items, and keeps the best weights.
    """

    epochs: int = Field(default=20, ge=1, description="Maximum number of passes over the training data")
    batch_size: int = Field(default=256, ge=1, description="Training rows per optimiser step")
    learning_rate: float = Field(default=1e-3, gt=0, description="Step size of Adam")
    weight_decay: float = Field(default=0.0, ge=0, description="Weight of the L2 penalty in Adam")
    clip: float = Field(default=5.0, gt=0, description="Largest L2 norm of the gradient of one step")
    patience: int = Field(
        default=5, ge=1, description="Validations in a row without a better NDCG@10 after which training stops"
    )
    min_epochs: int = Field(default=0, ge=0, description="Epochs before patience starts to count")
    validate_every: int = Field(default=1, ge=1, description="Epochs from one validation to the next")
    validation_users: int = Field(
        default=10_000, ge=1, description="Maximum number of users per validation, a seeded sample"
    )
    decays: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        default=0,
        description="Times that training goes on from the best weights with a third of the learning rate; "
        "`auto` is 2 with at least 5,000 validation items, else 0",
        json_schema_extra=LATER,
    )


class TorchModel(Model, nn.Module):
    """A neural model with embedded inputs that can be perturbed.

    The host trains the model. A subclass computes inputs, scores and losses. The method ``under`` runs any part of the
    model with different values of parameters or buffers, such as embedding tables.

    Attributes:
        stochastic: whether the model draws random numbers when it scores in evaluation mode. A victim that draws
            without this declaration gets no rank.
    """

    Config: ClassVar[type[TorchConfig]] = TorchConfig
    config: Any
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters"})
    neural: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False
    n_items: int
    n_users: int
    item_counts: Tensor

    def __init__(self, config: BaseConfig | None = None) -> None:
        nn.Module.__init__(self)
        self.config = self.Config() if config is None else config

    @abstractmethod
    def build(self, data: TrainData, rng: Rng) -> None:
        """Creates the parameters.

        The host seeds torch's global generator for this call.
        """

    def alternatives(self, data: TrainData) -> Iterator[Mapping[str, float]]:
        """Yields settings to choose from, such as ``{"weight_decay": 1e-5}``.

        The host trains the model with each of these settings, and keeps those with the best validation NDCG@10. If two
        values are equal, the earlier settings are kept. With fewer than 5,000 validation items, the host does not call
        this method. A setting that changes the shape of a parameter must not be among these settings, because
        ``config`` and ``restore`` do not know the choice. The default implementation yields nothing.

        Args:
            data: the data of the fit. ``data.validation`` must not be read.
        """
        return iter(())

    def score_alternatives(self) -> Sequence[Mapping[str, float]]:
        """Returns alternative values of buffers that affect the scores, not the training.

        Each entry maps the names of buffers that hold one number to values, such as ``{"fusion_weight": 0.5}``.
        Whenever the host validates, it measures the model with each of these entries. The host keeps the entry with the
        best validation NDCG@10 together with the weights. If two entries have the same NDCG@10, the earlier one is
        kept. Without users to validate on, the buffers keep their values. The default implementation returns nothing.
        """
        return ()

    @abstractmethod
    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields the training batches of one epoch.

        All random numbers must come from ``rng``.
        """

    @abstractmethod
    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns the batch from which the scores of some users are computed.

        Args:
            users: the rows of B real users, int64 [B].
            history: the history of each real user, one row per user.
        """

    @abstractmethod
    def embed(self, batch: Batch) -> Embedded:
        """Returns the embedded inputs of a batch.

        Position embeddings, layer norm and dropout must be applied later, in ``score_from`` and ``loss_from``.
        """

    @abstractmethod
    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the finite scores of embedded inputs: float [B, n_items].

        Args:
            batch: the batch of these inputs. Only masks and positions may be read from the batch.
            e: the embedded inputs of the batch, which may be perturbed.
        """

    @abstractmethod
    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the model's own training loss for each target."""

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the margin of each training target, for the hinge loss.

        The margin is the score of the target minus the score of a negative. The negative is the sampled item, or the
        unused item with the highest score.
        """
        raise TypeError(f"{type(self).__name__} has no margins_from, which the hinge loss needs")

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns the distributions that the training loss compares with the targets.

        The distributions are over the whole catalogue, or over fewer classes if the loss samples items. A defence
        compares these distributions on clean and on perturbed inputs.
        """
        raise TypeError(f"{type(self).__name__} has no logits_from, which this defence needs")

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Returns the training loss as terms, in the order of ``loss_from``.

        The terms of an interaction add up to the interaction's value in ``loss_from``. A model overrides this method
        only if its loss has a term −ln p for each observed interaction. Here p is the probability of the observed item.
        """
        raise TypeError(f"{type(self).__name__} has no terms_from, which this defence needs")

    @classmethod
    def has_terms(cls) -> bool:
        """Returns whether the class overrides ``terms_from``."""
        return cls.terms_from is not TorchModel.terms_from

    @classmethod
    def has_logits(cls) -> bool:
        """Returns whether the class overrides ``logits_from``."""
        return cls.logits_from is not TorchModel.logits_from

    @classmethod
    def has_margins(cls) -> bool:
        """Returns whether the class overrides ``margins_from``."""
        return cls.margins_from is not TorchModel.margins_from

    def initialise(self, data: TrainData, rng: Rng) -> None:
        """Sets the numbers of users and items, and builds the model from a seeded stream."""
        self.n_items, self.n_users = data.n_items, data.n_users
        self.register_buffer("item_counts", torch.from_numpy(data.train.counts().astype(np.float32)))
        with rng.child("init").stream():
            self.build(data, rng.child("init"))

    def user_table(self, data: TrainData, dim: int, std: float, rng: Rng) -> nn.Embedding:
        """Returns a table of user vectors, [n_users, dim].

        The entries are drawn from a normal distribution with mean 0 and standard deviation ``std``. Real and fake users
        have separate streams, so the rows of real users do not depend on the number of fake users.
        """
        real = torch.randn(data.n_real_users, dim, generator=rng.child("users").torch()) * std
        fake = torch.randn(data.n_users - data.n_real_users, dim, generator=rng.child("fakes").torch()) * std
        # With given weights, the table draws nothing from the global stream, so the size of the table does not change
        # that stream.
        return nn.Embedding(data.n_users, dim, _weight=torch.cat([real, fake]))

    def forward(self, call: Callable[..., T], *args: Any) -> T:
        """Returns ``call(*args)``.

        This method lets ``under`` run any method through torch's ``functional_call``.
        """
        return call(*args)

    def under(self, tables: Mapping[str, Tensor], call: Callable[..., T], *args: Any) -> T:
        """Returns the result of ``call(*args)`` with different parameters or buffers.

        The model's own parameters and buffers do not change. Gradients flow to ``tables``.

        Args:
            tables: the new values, by the name of the parameter or buffer.
            call: a function that uses this model.
            args: the arguments of the function.
        """
        result: T = functional_call(self, dict(tables), (call, *args))
        return result

    @property
    def device(self) -> torch.device:
        """The device that holds the parameters."""
        return next(self.parameters()).device

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Always raises a ``TypeError``, because the host's loop trains neural models."""
        raise TypeError("a TorchModel is trained by the host's loop, not by fit()")

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the users' scores as a numpy array: float32 [B, n_items]."""
        return self.device_scores(users, history).cpu().numpy()

    def device_scores(self, users: IntArray, history: Interactions) -> Tensor:
        """Returns the users' scores on the model's device: float32 [B, n_items].

        The scores have no gradient.
        """
        with torch.no_grad():
            batch = self.queries(users, history).to(self.device)
            return self.score_from(batch, self.embed(batch)).float()

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of newcomers, based on their histories.

        For an empty row, the scores are the training counts of the items.
        """
        scores = super().newcomers(history)
        scores[history.lengths() == 0] = self.item_counts.cpu().numpy()
        return scores

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the parameters and buffers as named arrays."""
        return {name: part.detach().cpu().numpy() for name, part in self.state_dict().items()}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Builds the model and loads parameters and buffers from ``state``."""
        self.initialise(data, rng)
        self.load_state_dict({name: torch.from_numpy(np.array(part)) for name, part in state.items()})
