"""Hides the decoder from the host's filter of titles.

The decoder takes longer than a small run. Processes in which an attack on titles runs import this module.
"""

from robench.engine.surfaces.text import likelihood

likelihood.has_language_model = lambda: False
