"""Tests that ``auto`` accepts only its current version for each surface."""

import pytest
from pydantic import ValidationError

from robench_plugins.attacks.auto import VERSIONS, Auto


@pytest.mark.parametrize("surface", VERSIONS)
def test_a_surface_has_its_own_version_and_takes_no_other(surface):
    version = VERSIONS[surface]
    assert Auto.Config(surface=surface).version == Auto.Config(surface=surface, version=version).version == version
    for other in {1, 2, 3} - {version}:
        with pytest.raises(ValidationError, match=f"is version {version}, not {other}"):
            Auto.Config(surface=surface, version=other)
