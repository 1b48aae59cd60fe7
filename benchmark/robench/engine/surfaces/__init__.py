"""Measures victims under attacks at test time, with one folder per surface.

In every folder, ``surface.py`` measures a victim and ``oracle.py`` answers an attack's queries. In ``history`` and
``text``, ``budget.py`` enforces ε on edits. The shared ``vector_budget.py`` enforces ε on perturbations of vectors. The
surface ``interactions`` has no folder, because attacks on this surface act before the fit. ``poisoning.py`` and
``poisoning_budget.py`` in ``engine/fit`` run these attacks. A new surface needs a folder here, a name in
``robench.api.surfaces.Surface``, and a row in ``robench.api.surfaces.SURFACES``.
"""
