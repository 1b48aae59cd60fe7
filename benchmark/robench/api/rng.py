"""Random streams that are determined by a seed and a path of roles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

SEPARATOR = b"\x1f"  # stands between the parts of a path
SEED_BITS = 2**63 - 1  # torch takes seeds of 63 bits


@dataclass(frozen=True)
class Rng:
    """A random stream that is determined by a seed and a path of roles.

    Different paths with the same seed give independent streams.

    Args:
        seed: a seed of the suite, which may be any integer.
        path: the roles, outermost first.
    """

    seed: int
    path: tuple[str, ...] = ()

    def child(self, *role: str | int) -> Rng:
        """Returns the stream with the same seed, and with ``role`` added to the path."""
        return Rng(self.seed, (*self.path, *(str(part) for part in role)))

    def entropy(self) -> int:
        """Returns a 64-bit integer that depends only on the seed and the path."""
        return int.from_bytes(self._hash().digest()[:8], "little")

    def child_seeds(self, roles: Iterable[bytes]) -> Iterator[int]:
        """Yields the seed of ``child(role).torch()`` for each role.

        The common path is hashed only once, so this method is faster than calling ``child`` for each role.

        Args:
            roles: the roles as UTF-8 bytes.
        """
        path = self._hash()
        path.update(SEPARATOR)
        for role in roles:
            whole = path.copy()
            whole.update(role)
            yield int.from_bytes(whole.digest()[:8], "little") & SEED_BITS

    def _hash(self) -> hashlib._Hash:
        return hashlib.sha256(SEPARATOR.join(part.encode() for part in (str(self.seed), *self.path)))

    def numpy(self) -> np.random.Generator:
        """Returns a fresh numpy generator.

        Generators from different calls draw the same numbers.
        """
        return np.random.default_rng(self.entropy())

    def torch(self, device: str | torch.device = "cpu") -> torch.Generator:
        """Returns a fresh torch generator on ``device``.

        Generators from different calls draw the same numbers.
        """
        import torch  # noqa: PLC0415  # listing and planning use Rng without torch

        return torch.Generator(device=device).manual_seed(self.entropy() & SEED_BITS)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Seeds torch's global generators for a block, and then restores their states.

        Dropout and torch's own initialisation draw from these generators.
        """
        import torch  # noqa: PLC0415  # as above

        cpu = torch.get_rng_state()
        # Only a process that already uses a GPU has generator states there. In any other process, asking for the states
        # would create a context on each GPU.
        used = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch has no type for it
        cuda = torch.cuda.get_rng_state_all() if used else None
        # Without an accelerator, torch.manual_seed sets the same state, but also stores a traceback per missing device.
        seed = torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed
        seed(self.entropy() & SEED_BITS)
        try:
            yield
        finally:
            torch.set_rng_state(cpu)
            if cuda is not None:
                torch.cuda.set_rng_state_all(cuda)
