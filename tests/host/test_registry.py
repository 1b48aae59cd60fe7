import types
from typing import Any

import pytest
from pydantic import Field

from robench.api import BaseConfig, Defense, Metric, Model, PoisoningAttack, hookimpl
from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.inspection import describe_component
from robench.host.registry import Entry, Registry


def plugin(**hooks: Any) -> types.ModuleType:
    module = types.ModuleType("plugin")
    for name, value in hooks.items():
        setattr(module, name, hookimpl(lambda value=value: value))
    return module


def registry_of(**plugins: Any) -> Registry:
    return Registry.of(Host.with_plugins({owner.replace("__", ":"): module for owner, module in plugins.items()}))


class Mine(Defense):
    """A defence with two settings."""

    class Config(BaseConfig):
        lambda_: float = Field(default=0.5, alias="lambda")
        depth: int = 3


class Half(Model):
    """A model without most of the methods that a model needs."""

    def fit(self, data: Any, rng: Any) -> None: ...


class Poison(PoisoningAttack):
    """A poisoning attack with all required methods."""

    def profiles(self, train: Any, **given: Any) -> Any: ...


class OldConfig(Defense):
    """A component with a ``Config`` that is not a ``BaseConfig``."""

    Config: Any = dict


def test_an_unknown_name_gets_a_suggestion_and_the_list():
    registry = registry_of(a__x=plugin(robench_defenses={"shield": Mine, "wall": Mine}))
    with pytest.raises(UserError, match=r"unknown defense 'sheild'") as caught:
        registry.load("defense", "sheild")
    assert caught.value.hint == "did you mean 'shield'? known: shield, wall"
    with pytest.raises(UserError, match="none is known"):
        registry.load("model", "mf")


def test_a_wrong_distribution_says_who_does_offer_the_name():
    registry = registry_of(a__x=plugin(robench_defenses={"mine": Mine}), b__x=plugin(robench_defenses={"mine": Mine}))
    with pytest.raises(UserError, match=r"'c' offers no defense 'mine' \(write a/mine or b/mine\)"):
        registry.find("defense", "c/mine")


def test_two_entries_of_one_distribution_are_told_apart_by_their_owner():
    registry = registry_of(a__x=plugin(robench_defenses={"mine": Mine}), a__y=plugin(robench_defenses={"mine": Mine}))
    for name in ("mine", "a/mine"):
        with pytest.raises(UserError, match=r"offered by a:x and a:y \(write a:x/mine or a:y/mine\)"):
            registry.find("defense", name)
    assert registry.find("defense", "a:y/mine").owner == "a:y"


def test_the_reference_of_an_entry_finds_it_again():
    shared = {"mine": Mine}
    registry = registry_of(
        a__x=plugin(robench_defenses={**shared, "only": Mine}),
        a__y=plugin(robench_defenses=shared),
        b__x=plugin(robench_defenses=shared),
    )
    for entry in registry.entries["defense"]:
        assert registry.find("defense", registry.reference("defense", entry)) == entry
    assert registry.reference("defense", registry.find("defense", "a/only")) == "only"


@pytest.mark.parametrize(
    ("kind", "cls", "problem"),
    [
        ("model", Half, "of plugin a:x lacks restore, scores, state"),
        ("metric", type("Empty", (Metric,), {}), "lacks per_user"),
        ("defense", OldConfig, "Config that is not a subclass of BaseConfig"),
        ("defense", Half, "not a subclass of Defense"),
    ],
)
def test_half_a_component_is_refused_before_any_work(kind, cls, problem):
    registry = registry_of(a__x=plugin(**{f"robench_{kind}s": {"it": cls}}))
    with pytest.raises(UserError, match=problem):
        registry.load(kind, "it")
    assert [state.startswith("error: ") for *_, state in registry.check()] == [True]


def test_an_import_that_leaves_the_interpreter_costs_only_its_own_plugin(tmp_path, monkeypatch):
    (tmp_path / "leaves_at_import.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    registry = registry_of(a__x=plugin(robench_models={"it": "leaves_at_import:It"}))
    with pytest.raises(UserError, match="of plugin a:x cannot be imported: SystemExit"):
        registry.load("model", "it")


def test_check_tells_settings_surfaces_and_threats():
    registry = Registry.of(Host.discover())
    states = {(kind, name): state for kind, name, _, state in registry.check()}
    assert "surfaces: embedding" in states["model", "mf"]
    assert "threat: embedding, test, l2, relative, untargeted, k 10" in states["attack", "cw"]
    assert "threat: interactions, train, users, relative, promote, k 10" in states["attack", "bandwagon"]
    assert "lambda" in states["defense", "adversarial-training"]
    assert describe_component(Mine) == "settings: lambda, depth"


def test_a_threat_that_needs_a_setting_is_told_in_short():
    class Needs(Poison):
        class Config(BaseConfig):
            level: int

    assert describe_component(Needs) == "settings: level; threat: interactions, train"


def test_an_entry_knows_its_distribution():
    assert Entry("it", "their-package:main", Mine).distribution == "their-package"


def test_the_identity_of_an_entry_does_not_depend_on_other_distributions():
    alone = registry_of(a__x=plugin(robench_defenses={"mine": Mine}), robench__y=plugin(robench_defenses={"own": Mine}))
    crowded = registry_of(
        a__x=plugin(robench_defenses={"mine": Mine}),
        b__x=plugin(robench_defenses={"mine": Mine, "own": Mine}),
        robench__y=plugin(robench_defenses={"own": Mine}),
    )
    for registry in (alone, crowded):
        identities = [registry.identity("defense", entry) for entry in registry.entries["defense"]]
        assert {"a/mine", "own"} <= set(identities)
        for entry, identity in zip(registry.entries["defense"], identities, strict=True):
            assert registry.resolve("defense", identity) == entry
    with pytest.raises(UserError, match="is offered by"):
        crowded.find("defense", "own")


def test_a_distribution_that_offers_a_name_twice_has_its_entries_in_the_identity():
    registry = registry_of(a__x=plugin(robench_defenses={"mine": Mine}), a__y=plugin(robench_defenses={"mine": Mine}))
    identities = [registry.identity("defense", entry) for entry in registry.entries["defense"]]
    assert identities == ["a:x/mine", "a:y/mine"]
    assert [registry.resolve("defense", name).owner for name in identities] == ["a:x", "a:y"]


def test_a_name_that_an_older_version_wrote_is_looked_up_as_a_person_would_write_it():
    registry = registry_of(a__x=plugin(robench_defenses={"mine": Mine}))
    assert registry.resolve("defense", "mine").owner == "a:x"
    with pytest.raises(UserError, match="unknown defense 'yours'"):
        registry.resolve("defense", "yours")
