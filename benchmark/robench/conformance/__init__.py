"""Conformance classes: a plugin's whole test is ``class TestMine(AttackTests): attack = Mine``."""
