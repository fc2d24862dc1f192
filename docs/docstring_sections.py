"""Renders the docstring section `Example:` as code.

The parser behind the API reference knows this section only by its plural name and would show the
examples as quotations.
"""

import re

import griffe


class DocstringSections(griffe.Extension):
    """Renames the section before the docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        """Rewrites the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
