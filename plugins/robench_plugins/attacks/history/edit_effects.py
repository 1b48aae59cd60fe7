"""An attack that combines the measured effects of deletions and insertions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field
from torch.nn.functional import pad

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, Rng
from robench_plugins.attacks.history.effects_search import EffectsSearch

if TYPE_CHECKING:
    from torch import Tensor

BLOCK_BYTES = 384 << 20  # the memory for the measured effects of the users that are attacked together
FLOAT = 4  # bytes


class EditEffects(HistoryAttack):
    """Edits a history by the measured effects of deletions and insertions.

    First, the attack scores every deletion of one item, and every insertion of one allowed item at the end of the
    history. In a large catalogue, only a sample of the items is inserted. The effect of an edit is the change of the
    scores. In EASE and item-based neighbours, scores are a sum over the items of the history. Therefore the effects of
    a deletion and an insertion add up to the effect of a substitution, and the best substitution is known exactly. For
    other models, the sum is an estimate. The attack scores the ``verified`` substitutions with the highest sums. The
    ``leaders`` are the items of the best insertions and substitutions. The attack also inserts and substitutes each
    leader at the last ``places`` places of the history. The best edit of all is made if it does more damage than no
    edit.

    For further edits within the budget, the attack combines the same effects with the scores of the edited history.

    The number of scorings per user depends on the history, the catalogue, the budget and the settings, but not on the
    model. So all models face the same search. The algorithm is our own.
    """

    class Config(HistoryConfig):
        """Settings of the search."""

        inserted: int = Field(
            default=2048, ge=1, description="Most items whose insertion is scored; a larger catalogue is sampled"
        )
        verified: int = Field(default=100, ge=1, description="Combined edits that are scored per edit of the budget")
        leaders: int = Field(default=2, ge=0, description="Items of the best edits that are scored at further places")
        places: int = Field(default=20, ge=1, description="Latest places of a history at which leaders are scored")
        finalists: int = Field(default=3, ge=1, description="Best edits per edit of the budget that the host compares")

    config: Config

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Yields the histories after the best edits, int64 [B, any L] each.

        The edits under a smaller budget are the first edits under a larger budget.
        """
        genuine = oracle.rows()
        proposals: list[list[tuple[Tensor, Tensor]]] = []
        for block in self._blocks(oracle, genuine):
            search = EffectsSearch.measure(oracle, self.config, block, rng)
            for number, rows in enumerate(search.proposals()):
                proposals += [[]] if number == len(proposals) else []
                proposals[number].append((block, rows))
        for parts in proposals:
            width = max(genuine.shape[1], *(rows.shape[1] for _, rows in parts))
            whole = pad(genuine, (0, width - genuine.shape[1]), value=-1)
            for block, rows in parts:
                whole[block] = pad(rows, (0, width - rows.shape[1]), value=-1)
            yield whole

    def _blocks(self, oracle: HistoryOracle, genuine: Tensor) -> Iterator[Tensor]:
        """Yields the positions of the users that are attacked together, int64 [b].

        These users form a block. The measured effects of a block fit into about ``BLOCK_BYTES``, unless a single user
        needs more. Users are sorted by the length of their history, because users with similar lengths can share more
        of the calls that score deletions.
        """
        lengths = (genuine >= 0).sum(1)
        per_user = (lengths + min(self.config.inserted, oracle.n_items) + 2) * oracle.n_items * FLOAT
        order = lengths.argsort(stable=True)
        number = per_user[order].cumsum(0) // BLOCK_BYTES
        for one in sorted(set(number.tolist())):
            yield order[number == one]
