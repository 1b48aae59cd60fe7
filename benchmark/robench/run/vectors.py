"""Computes or reads the vectors of items that a data set's settings ask for."""

from __future__ import annotations

import hashlib

from robench.api.attacks.text import item_text
from robench.api.dataset import DatasetConfig
from robench.api.digest import digest
from robench.api.errors import DataError
from robench.api.item_vectors import ItemVectors, VectorSource
from robench.engine.data.prepared import Prepared
from robench.engine.data.vectors import match_vectors, read_vectors

MOST_TOKENS = 64  # the longest text that is encoded, in tokens


def add_vectors(data: Prepared, config: DatasetConfig) -> Prepared:
    """Returns a data set with the vectors that its settings ask for, or unchanged.

    Raises:
        DataError: if the vectors cannot be read, or if none belongs to an item of the data set.
    """
    source = config.item_vectors
    if not source.given:
        return data
    if data.catalogue.vectors is not None:
        raise DataError("this data set has vectors of its own", hint="leave item_vectors out")
    if source.texts:
        return match_vectors(data, _encode_texts(source, data))
    return match_vectors(data, read_vectors(source), str(source.file))


def digest_of_vectors(source: VectorSource) -> str:
    """Returns a digest of what determines the vectors, except the items' texts.

    Raises:
        DataError: if a file is missing or broken.
    """
    facts = dict(source.without_paths())
    for path in (source.file, source.ids):
        if path is not None:
            try:
                with path.open("rb") as content:
                    facts[path.suffix] = hashlib.file_digest(content, "sha256").hexdigest()
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if source.file is not None and source.file.suffix == ".npy" and source.ids is None and source.first_id is None:
        beside = source.file.with_name(source.file.name + ".txt")
        facts["beside"] = hashlib.sha256(beside.read_bytes()).hexdigest() if beside.is_file() else ""
    if source.texts:
        from robench.pretrained import folder_of, identity_of  # noqa: PLC0415  # imports torch

        facts["encoder"] = identity_of(folder_of(_text_weights(source)), MOST_TOKENS)
    return digest(facts, 32)


def _text_weights(source: VectorSource) -> str:
    from robench.pretrained.weights import PACKAGED  # noqa: PLC0415  # imports torch

    return source.encoder or PACKAGED


def _encode_texts(source: VectorSource, data: Prepared) -> ItemVectors:
    """Returns the vectors of the texts of all items that have a text."""
    from robench.pretrained import Encoder, cached_array  # noqa: PLC0415  # imports torch

    named = {one: item_text(item) for one, item in zip(data.catalogue.ids, data.catalogue.items, strict=True)}
    named = {one: text for one, text in named.items() if text}
    if not named:
        raise DataError("item_vectors reads texts of items, and this data set has none")
    texts = list(named.values())
    content = {"encoder": digest_of_vectors(source), "texts": texts}
    rows = cached_array(
        "item-vectors", content, lambda: Encoder.load(_text_weights(source), MOST_TOKENS).encode(texts).numpy()
    )
    return ItemVectors(list(named), rows)
