"""Test cases of all weightings: one `Case` per name, in a module per module of the package.

To test a new weighting, add its case to the `CASES` dictionary of a module in this folder.
"""

import importlib
import pkgutil

from tests.weighting.cases.case import Case

CASES: dict[str, Case] = {}
for module in pkgutil.iter_modules(__path__):
    CASES |= getattr(importlib.import_module(f"{__name__}.{module.name}"), "CASES", {})
