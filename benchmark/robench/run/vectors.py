"""Computes or reads the vectors of items that a data set's settings ask for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from robench.api.attacks.text import item_text
from robench.api.dataset import DatasetConfig
from robench.api.digest import digest
from robench.api.errors import DataError
from robench.api.item_vectors import ItemVectors, VectorSource
from robench.engine.data.prepared import Prepared
from robench.engine.data.vectors import match_vectors, read_vectors

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
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
    if source.images is not None:
        return match_vectors(data, _encode_images(source, source.images, data), str(source.images))
    return match_vectors(data, read_vectors(source), str(source.file))


def digest_of_vectors(source: VectorSource) -> str:
    """Returns a digest of what determines the vectors, except the items' texts.

    Raises:
        DataError: if a file is missing or broken.
    """
    facts: dict[str, Any] = dict(source.without_paths())
    for path in (source.file, source.ids):
        if path is not None:
            facts[path.suffix] = _hash(path)
    if source.file is not None and source.file.suffix == ".npy" and source.ids is None and source.first_id is None:
        beside = source.file.with_name(source.file.name + ".txt")
        facts["beside"] = hashlib.sha256(beside.read_bytes()).hexdigest() if beside.is_file() else ""
    if source.texts:
        from robench.pretrained import folder_of, identity_of  # noqa: PLC0415  # imports torch

        facts["encoder"] = identity_of(folder_of(_text_weights(source)), MOST_TOKENS)
    if source.images is not None:
        from robench.pretrained.images import image_encoder_identity  # noqa: PLC0415  # imports torch

        facts["encoder"] = image_encoder_identity(source.encoder)
        facts["images"] = {name: _hash(path) for name, path in _find_images(source.images).items()}
    return digest(facts, 32)


def _hash(path: Path) -> str:
    """Returns the SHA-256 digest of a file.

    Raises:
        DataError: if the file cannot be read.
    """
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def _find_images(folder: Path) -> dict[str, Path]:
    """Returns the pictures in a folder by the id of the item.

    The id is the name of the file without its ending.

    Raises:
        DataError: if there is no such folder, if it has no pictures, or if an item has two pictures.
    """
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder))
    images: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in IMAGES:
            if path.stem in images:
                raise DataError(f"item '{path.stem}' has two pictures", where=str(path))
            images[path.stem] = path
    if not images:
        raise DataError(f"no pictures that end in {', '.join(IMAGES)}", where=str(folder))
    return images


def _encode_images(source: VectorSource, folder: Path, data: Prepared) -> ItemVectors:
    """Returns the vectors of the pictures of the data set's items.

    Equal pictures are encoded once, and the vectors are computed once per machine.
    """
    from robench.pretrained import cached_array  # noqa: PLC0415  # imports torch
    from robench.pretrained.images import ImageEncoder, image_encoder_identity  # noqa: PLC0415  # imports torch

    images = _find_images(folder)
    own = {name: images[name] for name in data.catalogue.ids if name in images}
    if not own:
        return ItemVectors(list(images), np.zeros((len(images), 1), dtype=np.float32))  # refused: no item has a vector
    hashes = {name: _hash(path) for name, path in own.items()}
    different = {one: own[name] for name, one in hashes.items()}
    order = sorted(different)
    content = {"encoder": image_encoder_identity(source.encoder), "images": order}
    rows = cached_array(
        "item-vectors",
        content,
        lambda: ImageEncoder.load(source.encoder).encode([different[one] for one in order]).numpy(),
    )
    place = {one: row for row, one in enumerate(order)}
    return ItemVectors(list(own), rows[[place[hashes[name]] for name in own]])


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
