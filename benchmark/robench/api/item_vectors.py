"""The vectors of items in a data set, and the setting that names their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robench.api.component import BaseConfig
from robench.api.errors import SettingError

SOURCES = ("file", "images", "texts")


@dataclass(frozen=True, eq=False)
class ItemVectors:
    """The vectors of some items, for example of their pictures, sounds or texts.

    Args:
        ids: the id of each of the n items in the source, as a string.
        rows: the vector of each of these items, float32 [n, d].
    """

    ids: Sequence[str]
    rows: NDArray[np.float32]


class VectorSource(BaseConfig):
    """The source of the vectors of items: a file, a folder of pictures, or texts.

    A path in place of these settings is the path of a file.
    """

    file: Path | None = Field(
        default=None, description="Vectors of items in a file `.npy`, `.safetensors` or `.parquet`, with ids"
    )
    ids: Path | None = Field(
        default=None, description="Text file with one id per row of an npy file; null reads the file with `.txt` added"
    )
    first_id: int | None = Field(
        default=None, ge=0, description="States that the rows of an npy file have the ids from this number on, in order"
    )
    images: Path | None = Field(
        default=None, description="Folder with one picture per item, which is named by the id of the item"
    )
    texts: bool = Field(default=False, description="Whether vectors are computed from titles, years and genres")
    encoder: str = Field(
        default="",
        description="Network that encodes pictures or texts: a folder or a hub id; the packaged one for texts",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_path(cls, settings: Any) -> Any:
        """Reads a path as the path of a file."""
        if settings is None:
            return {}
        return {"file": settings} if isinstance(settings, str | Path) else settings

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Checks that there is at most one source, with settings that belong to it.

        Raises:
            SettingError: if there are several sources, or if a setting has no source.
        """
        given = [name for name in SOURCES if getattr(self, name)]
        if len(given) > 1:
            raise SettingError(f"vectors come from {given[0]} or from {given[1]}, not from both", given[1])
        for name in ("ids", "first_id"):
            if getattr(self, name) is not None and (self.file is None or self.file.suffix != ".npy"):
                raise SettingError(f"{name} belongs to an npy file", name, "other files hold their ids")
        if self.ids is not None and self.first_id is not None:
            raise SettingError("first_id states the ids that the file ids lists", "first_id", "leave one of them out")
        if self.encoder and not (self.images or self.texts):
            raise SettingError("encoder belongs to images or to texts", "encoder", "images: FOLDER, or texts: true")
        if self.images and not self.encoder:
            raise SettingError("images need an encoder", "images", "encoder: a folder or a hub id")
        return self

    @property
    def given(self) -> bool:
        """True if there is a source."""
        return any(getattr(self, name) for name in SOURCES)

    def without_paths(self) -> Mapping[str, Any]:
        """Returns the settings that affect the vectors, other than paths and networks."""
        return {"first_id": self.first_id, "texts": self.texts}
