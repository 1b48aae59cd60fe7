"""Pretrained BERT encoders of text: from a package, a local folder or a hub; weights are safetensors, never pickles."""

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

TOKENS = 4096  # of a batch, padding included


@dataclass(eq=False)
class Encoder:
    """A BERT encoder whose text vector is the mean over a text's tokens (Reimers & Gurevych, EMNLP 2019), scaled to a
    root mean square of 1 per entry.

    Args:
        folder: as ``folder_of`` finds it.
        max_tokens: of a text; what is longer is cut.
    """

    folder: Path
    max_tokens: int = 64

    def __post_init__(self) -> None:
        """Load the tokenizer and the weights, in eval mode.

        Raises:
            DataError: files are missing or broken, or it is no BERT encoder.
        """
        check_files(self.folder)
        # Without its vocabulary the library makes a tokenizer that reads every word as unknown.
        if not any((self.folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
            raise DataError("no tokenizer.json", where=str(self.folder), hint="tokenizer.save_pretrained(...)")
        library = transformers()
        options = {"local_files_only": True}
        try:
            config = library.AutoConfig.from_pretrained(self.folder, **options)
            if config.model_type != "bert":
                raise DataError(f"a '{config.model_type}' model, not a BERT encoder", where=str(self.folder))
            self.tokenizer = library.AutoTokenizer.from_pretrained(self.folder, **options)
            # One explicit attention, with and without a gradient.
            net, report = library.BertModel.from_pretrained(
                self.folder,
                attn_implementation="eager",
                use_safetensors=True,
                add_pooling_layer=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in one line
                **options,
            )
        except DataError:
            raise
        except Exception as error:  # the library raises all sorts for a broken folder, KeyError and its own among them
            why = first_line(error)
            raise DataError(f"not a BERT encoder that can be loaded: {why}", where=str(self.folder)) from None
        others = [key if isinstance(key, str) else key[0] for key in report["mismatched_keys"]]
        self._check([*report["missing_keys"], *others], net.config)
        self.net = net.float()
        self.net.eval()
        self.net.requires_grad_(requires_grad=False)

    def _check(self, missing: Collection[str], config: Any) -> None:
        """The library fills in random numbers for weights that are not there, and reads nothing past its positions."""
        where = str(self.folder)
        if missing:
            raise DataError(f"no weights of the right shape for '{min(missing)}' ({len(missing)} such)", where=where)
        if len(self.tokenizer) > config.vocab_size:
            raise DataError(
                f"the tokenizer has {len(self.tokenizer)} words, the encoder {config.vocab_size}", where=where
            )
        most = config.max_position_embeddings
        if self.max_tokens > most:
            raise DataError(f"max_tokens: {self.max_tokens}, and the encoder reads {most} at most", where=where)

    @classmethod
    def load(cls, weights: str = PACKAGED, max_tokens: int = 64) -> Encoder:
        """By package name, folder or hub id."""
        return cls(folder_of(weights), max_tokens)

    @property
    def dim(self) -> int:
        """Entries of a text's vector."""
        return int(self.net.config.hidden_size)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """By the encoder's own tokenizer, special tokens included."""
        found = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        start = found["offset_mapping"][:, :, 0].masked_fill(found["special_tokens_mask"].bool(), -1)
        return Tokens(found["input_ids"], found["attention_mask"].bool(), start)

    def table(self) -> Tensor:
        """Vectors of all tokens, before positions are added: float [V, d]."""
        found: Tensor = self.net.embeddings.word_embeddings.weight
        return found

    def embed(self, tokens: Tokens) -> Tensor:
        """Rows of ``table``: float [n, L, d]."""
        return self.table()[tokens.ids.to(self.table().device)]

    def states(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """The last layer's states: float [n, L, d]. Args: vectors float [n, L, d]; mask bool [n, L]."""
        found: Tensor = self.net(inputs_embeds=vectors, attention_mask=mask.to(vectors.device)).last_hidden_state
        return found

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """Vectors of texts, differentiable: float [n, d]. Args: vectors float [n, L, d]; mask bool [n, L]."""
        count_usage(texts=len(mask), tokens=int(mask.sum()))
        return pooled(self.states(vectors, mask), mask)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Vectors without a gradient, equal texts once: float [n, d], on the CPU."""
        fresh = sorted(set(texts), key=lambda text: (len(text), text))
        place = {text: number for number, text in enumerate(fresh)}
        with torch.no_grad():
            parts = [self.forward(self.embed(part), part.mask).cpu() for part in self._batches(fresh)]
        table = torch.cat([torch.empty(0, self.dim), *parts])
        return table[[place[text] for text in texts]]

    def _batches(self, texts: Sequence[str]) -> Iterator[Tokens]:
        """Of about 4,096 tokens; texts come sorted by length."""
        at = 0
        while at < len(texts):
            some = self.tokens(texts[at : at + 256])
            count = max(1, min(len(some.ids), TOKENS // some.ids.shape[1]))
            width = int(some.mask[:count].sum(1).max())
            yield Tokens(*(part[:count, :width] for part in (some.ids, some.mask, some.start)))
            at += count


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """The mean over a text's tokens with root mean square 1: float [n, d]. Args: states [n, L, d]; mask bool [n, L]."""
    weight = mask.to(states).unsqueeze(-1)
    mean = (states * weight).sum(1) / weight.sum(1).clamp_min(1)
    return mean / mean.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
