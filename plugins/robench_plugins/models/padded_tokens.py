"""Selects and replaces rows of padded tokens, for text-bert."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from robench.api import Tokens


def select_texts(tokens: Tokens, rows: Tensor) -> Tokens:
    """Returns the tokens of some texts, without columns that hold only padding.

    Args:
        tokens: the tokens of all texts, [n, L].
        rows: the texts to select, int64 [m], on the CPU.
    """
    mask = tokens.mask[rows]
    width = int(mask.sum(1).max()) if len(rows) else 1
    return Tokens(tokens.ids[rows, :width], mask[:, :width], tokens.start[rows, :width])


def replace_texts(tokens: Tokens, rows: Tensor, replacements: Tokens) -> Tokens:
    """Returns the tokens of all texts, with new texts in some rows.

    Args:
        tokens: the tokens of all texts, [n, L].
        rows: the texts to replace, int64 [m], on the CPU.
        replacements: the tokens of the new texts, [m, any L].
    """
    width = max(tokens.ids.shape[1], replacements.ids.shape[1])
    parts = []
    for old, new, filler in (
        (tokens.ids, replacements.ids, 0),
        (tokens.mask, replacements.mask, False),
        (tokens.start, replacements.start, -1),
    ):
        old_wide, new_wide = (pad(part, (0, width - part.shape[1]), value=filler) for part in (old, new))
        parts.append(old_wide.index_copy(0, rows, new_wide))
    return Tokens(*parts)
