"""A T5 encoder-decoder that decodes many prefixes at once.

The parameters and their names are those of the library's T5 classes. The computation is that of Raffel et al. (JMLR
2020), with two differences in what may see what. ``Network.read`` lets an item see only itself and earlier items, so
one pass serves all positions of a history. ``Network.write`` decodes a tree of prefixes, in which a node sees only its
ancestors.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from robench.pretrained.weights import transformers
from robench_plugins.models.dropout import dropout


class Tree(NamedTuple):
    """Prefixes to decode, and which of them each one goes on from.

    Args:
        ancestors: the nodes on the way to each of N nodes, by depth, int64 [N, D].
        depth: the depth of each node, int64 [N].
    """

    ancestors: Tensor
    depth: Tensor

    @classmethod
    def of_rows(cls, rows: int, depth: int, device: torch.device) -> Tree:
        """Returns a forest of ``rows`` chains, each with ``depth`` nodes."""
        numbers = torch.arange(rows * depth, device=device).reshape(rows, 1, depth)
        return cls(
            numbers.expand(-1, depth, -1).flatten(0, 1),
            torch.arange(depth, device=device).repeat(rows),
        )


class Network(nn.Module):
    """A T5 encoder-decoder with one table of token vectors.

    Args:
        tokens: the number of tokens.
        dim: the length of a token's vector.
        layers: the number of blocks of the encoder, and of the decoder.
        heads: the number of attention heads.
        share: the share of activations that dropout zeroes.
    """

    def __init__(self, tokens: int, dim: int, layers: int, heads: int, share: float) -> None:
        super().__init__()
        library, self.share = transformers(), share
        config = library.T5Config(
            vocab_size=tokens,
            d_model=dim,
            d_kv=dim // heads,
            d_ff=2 * dim,
            num_layers=layers,
            num_decoder_layers=layers,
            num_heads=heads,
            dropout_rate=share,
            decoder_start_token_id=0,
        )
        model = library.T5Model(config)
        self.encoder, self.decoder = model.encoder, model.decoder
        for stack in (self.encoder, self.decoder):
            stack.embed_tokens = None  # the table belongs to the model, so that attacks find it once

    def read(self, vectors: Tensor, group: Tensor) -> Tensor:
        """Returns the states of the encoder, float [B, S, d].

        Args:
            vectors: the vectors of the tokens, float [B, S, d].
            group: the number of the item to which each place belongs, ascending, int64 [S].
        """
        hidden = (group[:, None] < group).to(vectors) * torch.finfo(vectors.dtype).min
        x = self._drop(vectors)
        bias: Tensor | None = None
        for block in cast("Any", self.encoder).block:
            own = block.layer[0].SelfAttention
            if bias is None:
                bias = own.compute_bias(len(group), len(group)) + hidden
            y = _norm(block.layer[0].layer_norm, x)
            x = x + self._drop(self._attend(own, y, own.k(y), own.v(y), bias))
            x = self._feed(block, x)
        return self._drop(_norm(self.encoder.final_layer_norm, x))

    def write(self, vectors: Tensor, tree: Tree, states: Tensor, visible: Tensor) -> Tensor:
        """Returns the states of the decoder, float [B, N, d].

        Args:
            vectors: the vector of each node's token, float [B or 1, N, d].
            tree: the N nodes.
            states: the states of the encoder, float [B, S, d].
            visible: the places of the encoder that a node sees, bool [B, 1 or N, S].
        """
        hidden = (~visible).to(vectors).unsqueeze(1) * torch.finfo(vectors.dtype).min
        x = self._drop(vectors)
        bias: Tensor | None = None
        for block in cast("Any", self.decoder).block:
            own, cross = block.layer[0].SelfAttention, block.layer[1].EncDecAttention
            if bias is None:
                bias = self._tree_bias(own, tree)
            y = _norm(block.layer[0].layer_norm, x)
            x = x + self._drop(self._attend_ancestors(own, y, tree, bias))
            y = _norm(block.layer[1].layer_norm, x)
            x = x + self._drop(self._attend(cross, y, cross.k(states), cross.v(states), hidden))
            x = self._feed(block, x)
        return self._drop(_norm(self.decoder.final_layer_norm, x))

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.share, self.training)

    def _feed(self, block: Any, x: Tensor) -> Tensor:
        """Returns the output of the last layer of a block: x + W_o relu(W_i norm(x))."""
        part = block.layer[-1]
        inner = self._drop(part.DenseReluDense.wi(_norm(part.layer_norm, x)).relu())
        return x + self._drop(part.DenseReluDense.wo(inner))

    def _attend(self, attention: Any, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """Returns attention over all places, float [B, N, d].

        T5 does not divide the products of queries and keys by √d.

        Args:
            attention: the T5 attention.
            x: the places that ask, float [B, N, d].
            keys: the keys, float [B, S, d].
            values: the values, float [B, S, d].
            bias: what is added to the products, broadcast to [B, heads, N, S].
        """
        query, key, value = (
            part.unflatten(-1, (attention.n_heads, -1)).transpose(1, 2) for part in (attention.q(x), keys, values)
        )
        weights = self._drop((query @ key.transpose(-1, -2) + bias).softmax(-1))
        out: Tensor = attention.o((weights @ value).transpose(1, 2).flatten(2))
        return out

    def _attend_ancestors(self, attention: Any, x: Tensor, tree: Tree, bias: Tensor) -> Tensor:
        """Returns attention of each node over its ancestors and itself, float [B, N, d]."""
        query, key, value = (
            part.unflatten(-1, (attention.n_heads, -1)) for part in (attention.q(x), attention.k(x), attention.v(x))
        )
        way = tree.ancestors.flatten()
        key, value = (part.index_select(1, way).unflatten(1, tree.ancestors.shape) for part in (key, value))
        weights = self._drop(((query.unsqueeze(2) * key).sum(-1) + bias).softmax(2))
        out: Tensor = attention.o((weights.unsqueeze(-1) * value).sum(2).flatten(2))
        return out

    @staticmethod
    def _tree_bias(attention: Any, tree: Tree) -> Tensor:
        """Returns the position bias of nodes and ancestors, float [N, D, heads].

        Positions are depths. Places after a node's depth are hidden.
        """
        depths = tree.ancestors.shape[1]
        by_depth = attention.compute_bias(depths, depths)[0].permute(1, 2, 0)
        later = torch.arange(depths, device=tree.depth.device) > tree.depth[:, None]
        bias: Tensor = by_depth[tree.depth].masked_fill(later.unsqueeze(2), torch.finfo(by_depth.dtype).min)
        return bias


def _norm(layer: Any, x: Tensor) -> Tensor:
    """Returns T5's layer norm, in the precision of its input: x / RMS(x), scaled."""
    scaled: Tensor = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + layer.variance_epsilon) * layer.weight
    return scaled
