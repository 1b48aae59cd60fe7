"""Conformance classes, from which plugin authors derive their pytest tests.

Two lines are enough to test a component::

    class TestMine(EmbeddingAttackTests):
        attack = Mine

``__init__.pyi`` lists the public names. Each name is imported when it is first used.
"""

import sys
from pathlib import Path

from robench.api.lazy import attach_stub

# Without this, a failed assertion of these modules would not show its values. Without pytest, no test runs.
if "pytest" in sys.modules:
    modules = (f"{__name__}.{path.stem}" for path in Path(__file__).parent.glob("[a-z]*.py"))
    sys.modules["pytest"].register_assert_rewrite(*modules)

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
