"""One `Case` for every loss, by name, for the tests that all losses share.

There is one module per module of `cgar_jax.losses`, each with a dictionary `CASES`.
"""

import importlib
import pkgutil

from tests.losses.cases.case import Case

CASES: dict[str, Case] = {}
for module in pkgutil.iter_modules(__path__):
    CASES |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "CASES", {})
