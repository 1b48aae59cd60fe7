"""Encodes pictures as vectors with pretrained vision networks.

Pictures are read by Pillow, and resized, cropped and normalised as ``preprocessor_config.json`` says. The package
torchvision is not needed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.errors import DataError
from robench.pretrained.weights import check_files, first_line, folder_of, identity_of, transformers

SETTINGS = "preprocessor_config.json"
EXTRA = "pip install 'robench[images]'"
IMAGES_AT_A_TIME = 32
Size = tuple[int, int]  # height and width, in pixels


@dataclass(frozen=True)
class Preprocessing:
    """The way from a picture to the numbers that a network reads.

    Args:
        size: the height and the width to which a picture is resized, or the length of its shorter edge.
        crop: the height and the width of the part in the middle that is kept, or None.
        mean: the number that is subtracted from each of the three channels.
        std: the number by which each channel is divided.
        scale: the factor of the channels, which are whole numbers from 0 to 255.
        resample: the number of Pillow's filter for resizing.
    """

    size: Size | int | None
    crop: Size | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    resample: int

    @classmethod
    def read(cls, path: Path) -> Preprocessing:
        """Reads the file ``preprocessor_config.json``.

        Raises:
            DataError: if the file is missing or does not describe a resizing and a normalisation.
        """
        try:
            given = json.loads(path.read_text(encoding="utf-8"))
            size, crop = given.get("size"), given.get("crop_size")
            normalised = given.get("do_normalize", True)
            return cls(
                _size(size) if given.get("do_resize", True) else None,
                _both(crop) if crop is not None and given.get("do_center_crop", True) else None,
                tuple(map(float, given["image_mean"])) if normalised else (0.0,) * 3,
                tuple(map(float, given["image_std"])) if normalised else (1.0,) * 3,
                float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 1.0,
                int(given.get("resample", 2)),
            )
        except FileNotFoundError:
            raise DataError("no such file", where=str(path), hint="AutoImageProcessor.save_pretrained") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"not the settings of an image processor: {first_line(error)}", where=str(path)) from None

    def pixels(self, path: Path) -> NDArray[np.float32]:
        """Returns the numbers of one picture: float32 [3, height, width].

        Raises:
            DataError: if the picture cannot be read, or if Pillow is not installed.
        """
        try:
            from PIL import Image  # noqa: PLC0415  # an extra
        except ImportError:
            raise DataError("pictures need the package pillow", hint=EXTRA) from None
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
                if self.size is not None:
                    height, width = self._target(picture.height, picture.width)
                    picture = picture.resize((width, height), Image.Resampling(self.resample))
                values = np.asarray(picture, dtype=np.float32)
        except Exception as error:  # the library raises many classes of exceptions for a broken picture
            raise DataError(f"not a picture that can be read: {first_line(error)}", where=str(path)) from None
        values = self._cropped(values) * np.float32(self.scale)
        mean, std = (np.array(part, dtype=np.float32) for part in (self.mean, self.std))
        values = (values - mean) / std
        return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)

    def _target(self, height: int, width: int) -> Size:
        """Returns the height and the width after resizing."""
        if isinstance(self.size, tuple):
            return self.size
        assert self.size is not None  # the caller has checked this
        short = min(height, width)
        return max(1, height * self.size // short), max(1, width * self.size // short)

    def _cropped(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the middle of a picture, [height, width, 3].

        A smaller picture gets black borders.
        """
        if self.crop is None:
            return values
        for axis, length in enumerate(self.crop):
            missing = max(0, length - values.shape[axis])
            before = [(0, 0)] * 3
            before[axis] = (missing // 2, missing - missing // 2)
            values = np.pad(values, before)
            start = (values.shape[axis] - length) // 2
            values = values.take(range(start, start + length), axis)
        return values


@dataclass(eq=False)
class ImageEncoder:
    """A frozen vision network, in evaluation mode and with float32 weights.

    The vector of a picture is what the network offers as the features of an image (CLIP, SigLIP). Otherwise, it is the
    state of the first token in the last layer (ViT, DINOv2), or the mean over the places of the last map (ResNet). The
    vector is scaled to a root mean square of 1.

    Args:
        net: the network, from the library transformers.
        preprocessing: the way from a picture to the numbers that the network reads.
    """

    net: Any
    preprocessing: Preprocessing

    @classmethod
    def load(cls, weights: str) -> ImageEncoder:
        """Loads an encoder from a folder or a hub.

        Raises:
            DataError: if files or packages are missing, or if files are broken.
        """
        folder = folder_of(weights)
        check_files(folder)
        preprocessing, library = Preprocessing.read(folder / SETTINGS), transformers(EXTRA)
        try:
            net, report = library.AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except Exception as error:  # the library raises many classes of exceptions for a broken folder
            why = first_line(error)
            raise DataError(f"not a vision network that can be loaded: {why}", where=str(folder)) from None
        missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
        if missing or not (net.main_input_name == "pixel_values" or hasattr(net, "get_image_features")):
            lack = f"no weights for '{missing[0]}' ({len(missing)} such)" if missing else "it reads no pixels"
            raise DataError(f"not a vision network that can be loaded: {lack}", where=str(folder))
        return cls(net.float().eval().requires_grad_(requires_grad=False), preprocessing)

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns the vectors of pictures, float [n, d].

        Args:
            pixels: the numbers of the pictures, float [n, 3, height, width].
        """
        if hasattr(self.net, "get_image_features"):
            states = self.net.get_image_features(pixel_values=pixels)
            states = getattr(states, "pooler_output", states)
        else:
            states = self.net(pixel_values=pixels).last_hidden_state
            states = states[:, 0] if states.dim() == 3 else states.mean((2, 3))
        vectors: Tensor = states / states.square().mean(1, keepdim=True).sqrt().clamp_min(1e-12)
        return vectors

    def encode(self, paths: Sequence[Path]) -> Tensor:
        """Returns the vectors of pictures on the CPU, without a gradient: float [n, d].

        Raises:
            DataError: if a picture cannot be read.
        """
        with torch.no_grad():
            parts = [self.forward(pixels) for pixels in self._batches(paths)]
        return torch.cat(parts)

    def _batches(self, paths: Sequence[Path]) -> Iterator[Tensor]:
        for start in range(0, len(paths), IMAGES_AT_A_TIME):
            yield torch.from_numpy(
                np.stack([self.preprocessing.pixels(path) for path in paths[start : start + IMAGES_AT_A_TIME]])
            )


def image_encoder_identity(weights: str) -> str:
    """Returns a digest of everything that determines the vectors of an image encoder.

    Raises:
        DataError: if files are missing or broken.
    """
    folder = folder_of(weights)
    identity = identity_of(folder, 0)
    try:
        settings = (folder / SETTINGS).read_bytes()
    except OSError:
        raise DataError(f"no {SETTINGS}", where=str(folder), hint="AutoImageProcessor.save_pretrained") from None
    return hashlib.sha256(identity.encode() + settings).hexdigest()


def _size(given: Any) -> Size | int:
    """Returns a height and a width, or the length of the shorter edge."""
    if isinstance(given, dict) and "shortest_edge" in given:
        return int(given["shortest_edge"])
    return _both(given)


def _both(given: Any) -> Size:
    return (int(given),) * 2 if isinstance(given, int) else (int(given["height"]), int(given["width"]))
