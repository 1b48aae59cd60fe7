"""The base class of components, and the base class of their settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.config import JsonDict

T = TypeVar("T")
# Marks a setting that was added after results were published: Field(json_schema_extra=LATER).
# A marked setting with its default is left out of the resolved settings, so the ids of earlier cells do not change.
LATER: JsonDict = {"later": True}
Choice = bool | int | float | str


def later(earlier: Choice) -> dict[str, Any]:
    """Returns the mark of a setting that was added after results were published.

    Use this mark instead of ``LATER`` if earlier cells did something other than the default. For example,
    ``Field(default="fusion", json_schema_extra=later("mean-likelihood"))`` keeps the ids of earlier cells, because
    resolved settings leave out the value of earlier cells. If stored settings have every unmarked setting but not this
    one, they come from an earlier cell, and get its value. If they also lack an unmarked setting, they get the default.

    Args:
        earlier: the value that describes earlier cells.
    """
    return LATER | {"earlier": earlier}


def search(
    low: float | None = None, high: float | None = None, *, log: bool = False, choices: Sequence[Choice] = ()
) -> JsonDict:
    """Returns the mark of a setting that ``robench tune`` may change.

    ``Field(default=1e-3, json_schema_extra=search(1e-4, 1e-1, log=True))`` declares a range, and
    ``search(choices=[16, 32, 64])`` declares single values. The default is always tried first, even if it is outside
    the range or not among the choices. A setting that is also marked with ``LATER`` takes ``LATER | search(...)``.

    Args:
        low: the smallest value of a range.
        high: the largest value of a range.
        log: whether values are drawn evenly on a logarithmic scale.
        choices: the values to choose from, if there is no range.

    Raises:
        ValueError: if the range lacks an end, is empty or is not finite, if a logarithmic range does not start above 0,
            or if ``choices`` are given together with a range or ``log``.
    """
    if choices:
        if low is not None or high is not None or log:
            raise ValueError("a search has either a range or choices")
        return {"search": {"choices": list(choices)}}
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"a search needs choices or a range from a smaller to a larger number, not {low} to {high}")
    if log and low <= 0:
        raise ValueError(f"a logarithmic range starts above 0, not at {low}")
    return {"search": {"low": low, "high": high, "log": log}}


def off_if_given(*names: str) -> JsonDict:
    """Returns the mark of a switch that other settings turn off.

    The switch is off if a suite gives one of these settings. For example, a model may choose a weight decay by
    validation, unless a suite gives a value. Resolved settings do not show whether a value is a default or comes from a
    suite, so the model needs a switch:
    ``by_validation: bool = Field(default=True, json_schema_extra=LATER | off_if_given("weight_decay"))``.

    Args:
        *names: the names of the other settings.
    """
    return {"off_if_given": list(names)}


class BaseConfig(BaseModel):
    """The immutable settings of a component.

    An unknown key is an error. The weight λ of a defence is a field named ``lambda_`` with ``alias="lambda"``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    def resolved(self) -> dict[str, Any]:
        """Returns the values of all fields, including defaults, as plain JSON types.

        A field that is marked with ``LATER`` is left out if it has its default. A field that is marked with
        ``later(value)`` is left out if it has this value.
        """
        unchanged = {
            name
            for name, extra in self._extras().items()
            if extra.get("later")
            and getattr(self, name)
            == extra.get("earlier", type(self).model_fields[name].get_default(call_default_factory=True))
        }
        return self.model_dump(mode="json", by_alias=True, exclude=unchanged)

    @classmethod
    def from_written(cls, settings: Mapping[str, Any]) -> Self:
        """Validates settings as they are written in a suite.

        The result differs from ``model_validate(settings)`` only in switches that are marked with ``off_if_given``.
        Such a switch becomes false if a setting that turns it off is written with its default value. Resolved settings
        must be validated by ``model_validate``.

        Args:
            settings: the settings by name.
        """
        off = {
            switch: False
            for switch, names in cls.switches().items()
            if any(name in settings and settings[name] == cls.model_fields[name].default for name in names)
        }
        return cls.model_validate({**off, **settings})

    def is_on(self, switch: str) -> bool:
        """Returns whether a switch that is marked with ``off_if_given`` is on.

        A switch is on if its value is true, and all settings that turn the switch off have their defaults.
        """
        fields = type(self).model_fields
        return bool(getattr(self, switch)) and all(
            getattr(self, name) == fields[name].default for name in self.switches()[switch]
        )

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, settings: Any) -> Any:
        """Adds the values of later settings to the resolved settings of an earlier cell."""
        extras = cls._extras()
        earlier = {name: extra["earlier"] for name, extra in extras.items() if "earlier" in extra}
        if not earlier or not isinstance(settings, Mapping):
            return settings
        old = [(name, field.alias) for name, field in cls.model_fields.items() if not extras[name].get("later")]
        return {**earlier, **settings} if all(settings.keys() & set(names) for names in old) else settings

    @model_validator(mode="after")
    def _check_switches(self) -> Self:
        for switch, names in self.switches().items():
            if switch in self.model_fields_set and getattr(self, switch) and not self.is_on(switch):
                raise ValueError(f"{switch} goes with no other value of {' and '.join(names)}")
        return self

    @classmethod
    def switches(cls) -> dict[str, list[str]]:
        """Returns the switches, each with the settings that turn it off."""
        return {name: extra["off_if_given"] for name, extra in cls._extras().items() if "off_if_given" in extra}

    @classmethod
    def _extras(cls) -> dict[str, dict[str, Any]]:
        """Returns the marks of each setting."""
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        return {name: dict(extra) if isinstance(extra, dict) else {} for name, extra in extras.items()}


class Component:
    """The base class of everything that a plugin can register.

    The settings of a component are in ``config``, an instance of the nested class ``Config``. A subclass with settings
    of its own declares ``class Config(BaseConfig)`` and annotates ``config: Config``.
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
        """Validates resolved settings with ``Config`` and returns an instance with them."""
        return cls(cls.Config.model_validate(settings))
