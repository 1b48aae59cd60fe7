"""The base classes of components and of component settings."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")
# Marks a setting that was added after results were published: Field(json_schema_extra=LATER).
# At its default it is left out of the resolved settings, so the ids of earlier cells stay as they are.
LATER: dict[str, Any] = {"later": True}


class BaseConfig(BaseModel):
    """The immutable settings of a component. An unknown key is an error.

    A field named ``lambda_`` with ``alias="lambda"`` is the grid axis λ of a defence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    def resolved(self) -> dict[str, Any]:
        """Returns the values of all fields, including defaults, as plain JSON types.

        A field that is marked as ``LATER`` is left out if it has its default.
        """
        fields = type(self).model_fields.items()
        unchanged = {
            name
            for name, field in fields
            if field.json_schema_extra == LATER and getattr(self, name) == field.get_default(call_default_factory=True)
        }
        return self.model_dump(mode="json", by_alias=True, exclude=unchanged)


class Component:
    """A class that a plugin registers, with the settings of its nested ``Config``.

    A subclass with settings of its own declares ``class Config(BaseConfig)`` and annotates ``config: Config``.
    """

    Config: ClassVar[type[BaseConfig]] = BaseConfig
    config: Any

    def __init__(self, config: BaseConfig | None = None) -> None:
        self.config = self.Config() if config is None else config

    @classmethod
    def has_setting(cls, name: str) -> bool:
        """Returns whether ``Config`` has a field of this name."""
        return name in cls.Config.model_fields

    def setting(self, name: str, default: T) -> T:
        """Returns the value of a setting, or ``default`` if there is no such field."""
        value: T = getattr(self.config, name) if name in type(self.config).model_fields else default
        return value

    @classmethod
    def make(cls, /, **settings: Any) -> Any:
        """Returns an instance with these settings, which ``Config`` validates."""
        return cls(cls.Config.model_validate(settings))
