"""Conformance classes: a plugin's whole test is ``class TestMine(EmbeddingAttackTests): attack = Mine``.

They prove that a component is connected: that an attack attacks within its budget, that a model's inputs reach its
scores and its training data its loss, that a defence at λ = 1 is no defence.
"""
