"""Draws noise for the embedded inputs of users, with a separate stream per user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from robench.api.rng import Rng

Kind = Literal["normal", "uniform"]


class UserNoise:
    """The source of noise for a chunk of users.

    A user gets the same noise in every chunk. A user's stream depends on the kind of noise, on the input's name and on
    the user's id. The noise of all users is drawn on the CPU by one generator, which is seeded anew for each user. The
    noise then moves to the device of the inputs in one step.

    Args:
        users: the ids of the users, int64 [B].
        inputs: the genuine inputs, float [B, ..., d] each.
        valid: the places that may be perturbed in each input, bool [B, ...].
    """

    def __init__(self, users: Tensor, inputs: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> None:
        self._roles = [str(user).encode() for user in users.tolist()]
        self._parts = {name: _Part(part, valid[name]) for name, part in inputs.items()}
        self._generator = torch.Generator()

    def draw(self, rng: Rng, kind: Kind) -> dict[str, Tensor]:
        """Draws normal entries, or uniform entries in [−1, 1], at the valid places.

        All other entries are 0.

        Args:
            rng: the stream from which the users' streams are derived.
            kind: the distribution of the entries.
        """
        return {
            name: part.placed(self._entries(part, rng.child(kind, name), kind)) for name, part in self._parts.items()
        }

    def _entries(self, part: _Part, rng: Rng, kind: Kind) -> Tensor:
        """Returns the entries of one input at the valid places, float [valid places, d]."""
        entries = torch.empty(part.shape)
        generator = self._generator
        for seed, row in zip(rng.child_seeds(self._roles), torch.split(entries, part.counts), strict=True):
            generator.manual_seed(seed)
            row.normal_(generator=generator)
            if kind == "uniform":
                # The stream begins with normal draws, which uniform noise overwrites. Published results depend on this.
                row.uniform_(generator=generator)
        return entries.mul_(2).sub_(1) if kind == "uniform" else entries


class _Part:
    """The places of one input at which noise is drawn.

    Args:
        like: the genuine input, float [B, ..., d].
        valid: the places that may be perturbed, bool [B, ...].
    """

    def __init__(self, like: Tensor, valid: Tensor) -> None:
        self._like = like
        self._valid = None if bool(valid.all()) else valid.cpu()
        self.counts: list[int] = valid.reshape(len(valid), -1).sum(1).tolist()
        self.shape = (sum(self.counts), like.shape[-1])

    def placed(self, entries: Tensor) -> Tensor:
        """Returns a tensor like the input, with ``entries`` at the valid places.

        All other entries are 0.

        Args:
            entries: the entries, float [valid places, d].
        """
        like = self._like
        if self._valid is None:
            return entries.reshape(like.shape).to(like)
        whole = torch.zeros_like(like, device="cpu")
        whole[self._valid] = entries.to(whole)
        return whole.to(like.device)
