"""The surfaces of a victim, one folder each.

In every folder ``surface.py`` measures a victim and ``oracle.py`` answers an attack's queries. ε is enforced by
``budget.py`` of the folder, or for vectors by ``engine/attack/budget.py``. A new surface is a new folder and a row in
``robench.api.threat.SURFACES``.
"""
