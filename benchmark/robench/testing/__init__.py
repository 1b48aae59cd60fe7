"""Conformance classes, from which plugin authors derive their pytest tests.

Two lines are enough to test a plugin::

    class TestMine(EmbeddingAttackTests):
        attack = Mine

``__init__.pyi`` lists the public names. Each name is imported when it is first used.
"""

from robench.api.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
