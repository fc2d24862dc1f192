"""What the tests that all weightings share must know of each: one `Case` for every name.

One module per module of `cgar_jax.weighting`, each with a dictionary `CASES`.
"""

import importlib
import pkgutil

from tests.weighting.cases.case import Case

CASES: dict[str, Case] = {}
for module in pkgutil.iter_modules(__path__):
    CASES |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "CASES", {})
