"""The trie of all items' codes, with every shared prefix once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robench_plugins.models.tiger.codes import LEVELS, ItemCodes


@dataclass(frozen=True, eq=False)
class Trie:
    """The prefixes of a catalogue's codes, and the way of each item through them.

    A node is a prefix that some item goes on from: the empty prefix, one code, two codes, or the three codes of items
    that collide. A node's own row comes last among its ancestors.

    Args:
        token: the last token of each of N nodes, int64 [N]. It is the start for the empty prefix.
        ancestors: the nodes on the way to each node, by depth, int64 [N, 4]. Places after a node's depth hold node 0.
        depth: the number of codes of each node, int64 [N].
        node: the node from which each item takes its codes, int64 [n_items, 4]. The fourth is 0 without a collision.
        next: the token that the item takes there, int64 [n_items, 4].
        taken: whether the item has the code, bool [n_items, 4]. False only for the fourth code of an item that does not
            collide.
    """

    token: Tensor
    ancestors: Tensor
    depth: Tensor
    node: Tensor
    next: Tensor
    taken: Tensor

    @classmethod
    def of(cls, codes: ItemCodes) -> Trie:
        """Returns the trie of the items' codes."""
        following = codes.tokens()
        taken = torch.ones_like(following, dtype=torch.bool)
        taken[:, LEVELS] = codes.codes[:, LEVELS] > 0
        item_node = torch.zeros_like(following)
        token, ancestors = [following.new_zeros(1)], [following.new_zeros(1, LEVELS + 1)]
        count = 1
        for depth in range(1, LEVELS + 1):
            own = taken[:, depth].nonzero().squeeze(1)
            prefixes, group = torch.unique(following[own, :depth], dim=0, return_inverse=True)
            numbers = count + torch.arange(len(prefixes), device=own.device)
            item_node[own, depth] = numbers[group]
            way = following.new_zeros(len(prefixes), LEVELS + 1)
            way[group, :depth] = item_node[own, :depth]
            way[:, depth] = numbers
            token.append(prefixes[:, -1])
            ancestors.append(way)
            count += len(prefixes)
        depths = torch.arange(LEVELS + 1, device=following.device)
        sizes = torch.tensor([len(part) for part in token], device=following.device)
        return cls(torch.cat(token), torch.cat(ancestors), depths.repeat_interleave(sizes), item_node, following, taken)

    def item_scores(self, likelihoods: Tensor) -> Tensor:
        """Returns the log-likelihood of the codes of every item, float [B, n_items].

        Args:
            likelihoods: the log-likelihood of every token after every node, float [B, N, V].
        """
        place = self.node * likelihoods.shape[2] + self.next
        parts = likelihoods.flatten(1)[:, place.flatten()].reshape(len(likelihoods), *place.shape)
        scores: Tensor = (parts * self.taken).sum(2)
        return scores
