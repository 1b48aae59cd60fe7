"""Loads causal language models and gives access to tokens and token vectors."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from robench.api.errors import DataError
from robench.pretrained.gguf import EXTRA, PACKAGED, decoder_folder
from robench.pretrained.weights import check_files, first_line, transformers


@dataclass(eq=False)
class CausalModel:
    """A frozen causal language model in evaluation mode and float32.

    Args:
        folder: the folder from which the model was loaded.
        tokenizer: the tokenizer, from the library transformers.
        net: the network, from the library transformers.
    """

    folder: Path
    tokenizer: Any
    net: Any

    @classmethod
    def load(cls, weights: str = PACKAGED) -> Self:
        """Loads a model by package name, folder, GGUF file or hub id.

        Raises:
            DataError: if files or packages are missing, if files are broken, or if the model is not a decoder.
        """
        folder = decoder_folder(weights)
        return cls(folder, *_read(folder))

    @property
    def dim(self) -> int:
        """The length of a token's vector."""
        return int(self.table().shape[1])

    @property
    def context(self) -> int:
        """The maximum number of tokens that the network can read at a time.

        If the configuration does not state the number, it is 2,048.
        """
        return int(getattr(self.net.config, "max_position_embeddings", 0) or 2048)

    @property
    def start(self) -> list[int]:
        """The special tokens that the tokenizer adds before every text."""
        plain, whole = (self.tokenizer("a", add_special_tokens=special).input_ids for special in (False, True))
        return list(whole[: whole.index(plain[0])]) if plain and plain[0] in whole else []

    @cached_property
    def cache_argument(self) -> str:
        """The name of the argument that passes cached keys and values to the network.

        The name changed in transformers 5.
        """
        return "cache" if "cache" in inspect.signature(self.net.forward).parameters else "past_key_values"

    @cached_property
    def words(self) -> dict[int, str]:
        """The words that are a single token after a space, by token.

        Words consist of letters. Words with a single letter are left out.
        """
        texts = self.tokenizer.batch_decode([[token] for token in range(len(self.table()))])
        words = sorted({text.strip() for text in texts if len(text.strip()) > 1 and text.strip().isalpha()})
        rows = self.tokenizer([f" {word}" for word in words], add_special_tokens=False).input_ids if words else []
        return {row[0]: word for row, word in zip(rows, words, strict=True) if len(row) == 1}

    def ids(self, text: str, *, special: bool = False) -> list[int]:
        """Returns the tokens of a string.

        Args:
            text: the string.
            special: whether marks such as ``<|im_start|>`` in the string have their special meaning.
        """
        tokens = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special).input_ids
        return [int(token) for token in tokens]

    def spans(self, text: str) -> list[int]:
        """Returns the position of each token's first character in a string.

        Spaces at the beginning of a token are skipped.

        Raises:
            DataError: if the tokenizer does not report positions.
        """
        if not self.tokenizer.is_fast:
            raise DataError("the tokenizer does not know the places of its tokens", where=str(self.folder))
        tokens = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        return [at + len(text[at:end]) - len(text[at:end].lstrip()) for at, end in tokens.offset_mapping]

    def table(self) -> Tensor:
        """Returns the vectors of all tokens in the input layer: float [V, d]."""
        table: Tensor = self.net.get_input_embeddings().weight
        return table

    def embed(self, ids: Tensor) -> Tensor:
        """Returns the vectors of tokens: float [..., d].

        The vectors have the scale that the network uses.
        """
        vectors: Tensor = self.net.get_input_embeddings()(ids)
        return vectors

    def to(self, like: Tensor) -> None:
        """Moves the network to the device and the dtype of a tensor, if they differ."""
        table = self.table()
        if table.device != like.device or table.dtype != like.dtype:
            self.net.to(device=like.device, dtype=like.dtype)


def _read(folder: Path) -> tuple[Any, Any]:
    """Reads the tokenizer and the network in a folder.

    Raises:
        DataError: if files or packages are missing, if files are broken, or if the model is not a decoder.
    """
    check_files(folder)
    library = transformers(EXTRA)
    where, options = str(folder), {"local_files_only": True}
    try:
        config = library.AutoConfig.from_pretrained(folder, **options)
        kinds = config.architectures or []
        if config.is_encoder_decoder or not any(kind.endswith(("ForCausalLM", "LMHeadModel")) for kind in kinds):
            known = f"'{config.model_type}' model ({', '.join(kinds) or 'of no named kind'})"
            raise DataError(f"a {known}, not a decoder that predicts the next token", where=where)
        tokenizer = library.AutoTokenizer.from_pretrained(folder, **options)
        # The eager attention gives the same values with and without a gradient.
        net, report = library.AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", use_safetensors=True, output_loading_info=True, **options
        )
    except DataError:
        raise
    except Exception as error:  # the readers raise many classes of exceptions, including plain Exception
        raise DataError(f"not a whole decoder: {first_line(error)}", where=where) from None
    if report["missing_keys"]:
        raise DataError(f"weights are missing: {min(report['missing_keys'])}", where=where)
    return tokenizer, net.float().eval().requires_grad_(requires_grad=False)
