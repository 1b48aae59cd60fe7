"""An autoencoder of items that is differentiable in fake profiles.

The attack ``revadv`` can use it as its surrogate of the victim.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robench.api import BaseConfig, Interactions
from robench_plugins.attacks.poisoning.surrogate import Vectors

BETAS, EPSILON = (0.9, 0.999), 1e-8  # the constants of Adam
_Adam = tuple[Tensor, Tensor, Tensor]  # weights, and the running means of their gradients and squared gradients


class ItemAutoencoderConfig(BaseConfig):
    """The settings of the surrogate ``item-ae``.

    The layers are smaller than those of Tang et al. (RecSys 2020), which have 256 and 128 entries. In this paper, the
    weight of interactions is 1 + α = 20, and 5 of 50 epochs are unrolled. The defaults were chosen on MovieLens 100K:
    those of the fit by validation, and ``unrolled`` and ``step_length`` by the outer loss on one set of targets.
    """

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(64, 32), min_length=1, description="Widths of the encoder's layers; the decoder mirrors them"
    )
    confidence: float = Field(default=2.0, ge=0, description="Weight α of interactions, as in wmf")
    steps: int = Field(default=60, ge=1, description="Steps of Adam in every fit")
    unrolled: int = Field(default=10, ge=1, description="Last steps through which gradients flow")
    step_length: float = Field(
        default=10.0, gt=0, description="Length of a step of the profiles; replaces the attack's own"
    )
    batch_size: int = Field(default=2048, ge=1, description="Number of items that each step draws")
    learning_rate: float = Field(default=1e-2, gt=0, description="Learning rate of Adam")
    weight_decay: float = Field(default=1e-6, ge=0, description="Weight of the L2 penalty")


class State(NamedTuple):
    """The parameters of the network, and the running means of Adam."""

    parameters: tuple[Tensor, ...]
    means: tuple[Tensor, ...]
    squares: tuple[Tensor, ...]


class ItemAutoencoder:
    """An autoencoder that reconstructs which users have an item.

    The input of an item i is the vector r_i of the entries r_ui of all real and fake users. A layer of the encoder maps
    h to tanh(W h + b). The decoder has the same layers in reverse order, but its last layer is s_i = W h_i + b, without
    the tanh. Here h_i is the output of the layer before it, and each layer has its own W and b. This is the item-based
    autoencoder of Sedhain et al. (WWW 2015, eq. 1), as Tang et al. (RecSys 2020) use it. The score of a user u and an
    item i is the entry u of s_i. So it is the inner product of two vectors: the row u of W with the entry u of b for
    the user, and h_i with a 1 for the item.

    The fit lowers Σ ℓ(r_ui, s_ui) over all users and items. The loss of a score s is ℓ(1, s) = (1 + α) (1 − s)² for an
    interaction, and ℓ(0, s) = s² for any other pair. The loss of an entry a between 0 and 1 is the mixture
    (1 − a) ℓ(0, s) + a ℓ(1, s). Each step of Adam (Kingma & Ba, ICLR 2015) reads a batch of items. A step is divided by
    √(v + ε²) instead of √v + ε, where v is the mean of the squared gradients. The derivative of √v is infinite at 0,
    and v is 0 for the weights of a user without items.

    The memory of a fit grows with the number of users times the number of items.

    Args:
        train: the training items of the real users that the attack sees.
        n_fakes: the number of fake users.
        config: the settings.
        generator: the source of the first weights and of the batches.
        dtype: the type of all numbers.
    """

    def __init__(
        self,
        train: Interactions,
        n_fakes: int,
        config: ItemAutoencoderConfig,
        generator: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config, self.n_real, self.n_fakes = config, train.n_users, n_fakes
        self.real = torch.zeros(train.n_items, train.n_users, dtype=dtype)
        self.real[torch.tensor(train.items), torch.tensor(train.users())] = 1
        self.generator = generator
        self.draw()

    def draw(self) -> None:
        """Draws the first weights and the batches of the next fit."""
        sizes = [self.n_real + self.n_fakes, *self.config.hidden]
        sizes += sizes[-2::-1]
        self.start: list[Tensor] = []
        for inputs, outputs in pairwise(sizes):
            bound = 1 / math.sqrt(inputs)
            for shape in ((outputs, inputs), (outputs,)):
                self.start.append(torch.from_numpy(self.generator.uniform(-bound, bound, shape)).to(self.real.dtype))
        self.batches = [self._batch() for _ in range(self.config.steps)]

    def _batch(self) -> Tensor | None:
        """Returns the items of a batch, or None for all items."""
        n_items = len(self.real)
        if self.config.batch_size >= n_items:
            return None
        return torch.tensor(self.generator.choice(n_items, self.config.batch_size, replace=False))

    def fit(self, profiles: Tensor) -> Vectors:
        """Fits the network from new first weights and returns the vectors.

        Each fit draws new first weights. Profiles that suit a single draw would do little to other models.

        Gradients with respect to ``profiles`` flow through the last ``unrolled`` steps, and through the encoding of the
        items after the fit. The memory grows with ``unrolled``, and not with ``steps``.

        Args:
            profiles: the profiles of the fake users, [fakes, items], with entries from 0 to 1.
        """
        self.draw()
        state = self.first_state()
        last = self.config.steps - self.config.unrolled
        for number in range(self.config.steps):
            state = self.step(state, number, profiles if number >= last else profiles.detach())
        return self.vectors(state, profiles)

    def first_state(self) -> State:
        """Returns the state before the first step, with the drawn weights."""
        zeros = tuple(torch.zeros_like(weights) for weights in self.start)
        return State(tuple(self.start), zeros, zeros)

    def step(self, state: State, number: int, profiles: Tensor) -> State:
        """Returns the state after one more step of Adam.

        The new state is differentiable in the profiles if these need a gradient.

        Args:
            state: the state before the step.
            number: the number of the step, from 0.
            profiles: the profiles of the fake users, [fakes, items].
        """
        keep = profiles.requires_grad
        with torch.enable_grad():
            parameters = [one if one.requires_grad else one.detach().requires_grad_() for one in state.parameters]
            loss = self.loss(parameters, self.inputs(profiles, self.batches[number]))
            gradients = torch.autograd.grad(loss, parameters, create_graph=keep)
        with torch.set_grad_enabled(keep):
            moved = [self._moved(number, *parts) for parts in zip(parameters, gradients, *state[1:], strict=True)]
        return State(*zip(*moved, strict=True))

    def _moved(self, number: int, weights: Tensor, gradient: Tensor, mean: Tensor, square: Tensor) -> _Adam:
        """Returns weights after a step of Adam, and their new running means.

        Args:
            number: the number of the step, from 0.
            weights: the weights before the step.
            gradient: their gradient.
            mean: the running mean of the gradients.
            square: the running mean of the squared gradients.
        """
        slope = gradient + self.config.weight_decay * weights
        mean = BETAS[0] * mean + (1 - BETAS[0]) * slope
        square = BETAS[1] * square + (1 - BETAS[1]) * slope * slope
        first, second = (1 - beta ** (number + 1) for beta in BETAS)
        direction = (mean / first) / (square / second + EPSILON**2).sqrt()
        return weights - self.config.learning_rate * direction, mean, square

    def inputs(self, profiles: Tensor, items: Tensor | None) -> Tensor:
        """Returns the input of some items, [items, users], or of all items.

        The real users come first, followed by the fake users.
        """
        fake = profiles.mT
        return torch.cat([self.real, fake] if items is None else [self.real[items], fake[items]], dim=1)

    def hidden(self, parameters: list[Tensor] | tuple[Tensor, ...], inputs: Tensor) -> Tensor:
        """Returns the output of the last hidden layer, [items, d]."""
        for weights, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            inputs = torch.tanh(torch.addmm(bias, inputs, weights.mT))
        return inputs

    def loss(self, parameters: list[Tensor], inputs: Tensor) -> Tensor:
        """Returns the loss of the items with these inputs, a scalar."""
        scores = torch.addmm(parameters[-1], self.hidden(parameters, inputs), parameters[-2].mT)
        alpha = self.config.confidence
        return (scores * scores).sum() + (inputs * (scores * (alpha * scores - 2 * (1 + alpha)) + 1 + alpha)).sum()

    def vectors(self, state: State, profiles: Tensor) -> Vectors:
        """Returns the vectors of users and items, whose inner products are the scores."""
        hidden = self.hidden(state.parameters, self.inputs(profiles, None))
        items = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
        users = torch.cat([state.parameters[-2], state.parameters[-1].unsqueeze(1)], dim=1)
        return Vectors(users[: self.n_real], users[self.n_real :], items)
