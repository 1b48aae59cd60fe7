"""Encodes texts as vectors with pretrained BERT networks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robench.api.errors import DataError
from robench.api.models.tokens import Tokens
from robench.api.usage import count_usage
from robench.pretrained.weights import PACKAGED, check_files, first_line, folder_of, transformers

TOKENS_AT_A_TIME = 4096  # the largest number of tokens in a batch with several texts, including padding
TEXTS_AT_A_TIME = 256


@dataclass(eq=False)
class Encoder:
    """A frozen BERT encoder, in evaluation mode and with float32 weights.

    The vector of a text is the mean of its tokens' states in the last layer (Reimers & Gurevych, EMNLP 2019). This mean
    is scaled to a root mean square of 1.

    Args:
        folder: the folder from which the encoder was loaded.
        max_tokens: the maximum number of tokens per text. Longer texts are truncated.
        tokenizer: the tokenizer, from the library transformers.
        net: the network, from the library transformers.
    """

    folder: Path
    max_tokens: int
    tokenizer: Any
    net: Any

    @classmethod
    def load(cls, weights: str = PACKAGED, max_tokens: int = 64) -> Encoder:
        """Loads an encoder by package name, folder or hub id.

        Raises:
            DataError: if files or packages are missing, if files are broken, or if the network is not a BERT encoder
                or has fewer than ``max_tokens`` positions.
        """
        folder = folder_of(weights)
        return cls(folder, max_tokens, *_read(folder, max_tokens))

    @property
    def dim(self) -> int:
        """The length of a text's vector."""
        return int(self.net.config.hidden_size)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Splits texts into at most ``max_tokens`` tokens each, including special tokens."""
        tokens = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        start = tokens["offset_mapping"][:, :, 0].masked_fill(tokens["special_tokens_mask"].bool(), -1)
        return Tokens(tokens["input_ids"], tokens["attention_mask"].bool(), start)

    def table(self) -> Tensor:
        """Returns the vectors of all tokens, without position vectors: float [V, d]."""
        table: Tensor = self.net.embeddings.word_embeddings.weight
        return table

    def embed(self, tokens: Tokens) -> Tensor:
        """Returns the rows of ``table`` for the given tokens: float [n, L, d]."""
        return self.table()[tokens.ids.to(self.table().device)]

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Returns the states of the last layer: float [n, L, d].

        Args:
            vectors: the vectors of the tokens, float [n, L, d].
            mask: the mask of the tokens, bool [n, L], False at padding.
        """
        states: Tensor = self.net(inputs_embeds=vectors, attention_mask=mask.to(vectors.device)).last_hidden_state
        return states

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Returns the vectors of texts, with gradients: float [n, d].

        Args:
            vectors: the vectors of the tokens, float [n, L, d].
            mask: the mask of the tokens, bool [n, L], False at padding.
        """
        count_usage(texts=len(mask), tokens=int(mask.sum()))
        return pooled(self.states(vectors, mask), mask)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Returns the vectors of texts on the CPU, without a gradient: float [n, d].

        Identical texts are encoded once.
        """
        unique = sorted(set(texts), key=lambda text: (len(text), text))
        place = {text: number for number, text in enumerate(unique)}
        with torch.no_grad():
            parts = [self.forward(self.embed(part), part.mask).cpu() for part in self._batches(unique)]
        table = torch.cat([torch.empty(0, self.dim), *parts])
        return table[[place[text] for text in texts]]

    def _batches(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Yields the tokens of texts in batches of at most 4,096 tokens and 256 texts.

        A text with more tokens is a batch of its own. Batches have little padding if the texts are sorted by length.
        """
        at = 0
        while at < len(texts):
            some = self.tokens(texts[at : at + TEXTS_AT_A_TIME])
            count = max(1, min(len(some.ids), TOKENS_AT_A_TIME // some.ids.shape[1]))
            width = int(some.mask[:count].sum(1).max())
            yield Tokens(*(part[:count, :width] for part in (some.ids, some.mask, some.start)))
            at += count


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """Returns the scaled mean of each text's token states: float [n, d].

    The mean is scaled to a root mean square of 1.

    Args:
        states: the states of the tokens, float [n, L, d].
        mask: the mask of the tokens, bool [n, L], False at padding.
    """
    weight = mask.to(states).unsqueeze(-1)
    mean = (states * weight).sum(1) / weight.sum(1).clamp_min(1)
    return mean / mean.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)


def _read(folder: Path, max_tokens: int) -> tuple[Any, Any]:
    """Reads the tokenizer and the network in a folder.

    Raises:
        DataError: if files or packages are missing, if files are broken, or if the network is not a BERT encoder or has
            fewer than ``max_tokens`` positions.
    """
    check_files(folder)
    # Without its vocabulary, the library makes a tokenizer that treats every word as unknown.
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise DataError("no tokenizer.json", where=str(folder), hint="tokenizer.save_pretrained(...)")
    library = transformers()
    options = {"local_files_only": True}
    try:
        config = library.AutoConfig.from_pretrained(folder, **options)
        if config.model_type != "bert":
            raise DataError(f"a '{config.model_type}' model, not a BERT encoder", where=str(folder))
        tokenizer = library.AutoTokenizer.from_pretrained(folder, **options)
        # The eager attention gives the same values with and without a gradient.
        net, report = library.BertModel.from_pretrained(
            folder,
            attn_implementation="eager",
            use_safetensors=True,
            add_pooling_layer=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # _check_network reports mismatched sizes in one line
            **options,
        )
    except DataError:
        raise
    except Exception as error:  # the library raises many classes of exceptions for a broken folder
        why = first_line(error)
        raise DataError(f"not a BERT encoder that can be loaded: {why}", where=str(folder)) from None
    mismatched = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
    _check_network([*report["missing_keys"], *mismatched], tokenizer, net.config, max_tokens, str(folder))
    return tokenizer, net.float().eval().requires_grad_(requires_grad=False)


def _check_network(missing: Collection[str], tokenizer: Any, config: Any, max_tokens: int, where: str) -> None:
    """Checks that a network has all weights, and enough token vectors and positions.

    The library replaces missing weights with random numbers and does not raise an error.

    Raises:
        DataError: if weights are missing or have a wrong shape, if the tokenizer has more tokens than the network, or
            if the network has fewer than ``max_tokens`` positions.
    """
    if missing:
        raise DataError(f"no weights of the right shape for '{min(missing)}' ({len(missing)} such)", where=where)
    if len(tokenizer) > config.vocab_size:
        raise DataError(f"the tokenizer has {len(tokenizer)} words, the encoder {config.vocab_size}", where=where)
    most = config.max_position_embeddings
    if max_tokens > most:
        raise DataError(f"max_tokens: {max_tokens}, and the encoder reads {most} at most", where=where)
