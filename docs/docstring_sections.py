"""Renders the examples in docstrings as code.

The parser behind the API reference recognizes the section `Example:` only by its plural name. It
would show that section, and the examples that open the docstrings of modules, as quotations.
"""

import re

import griffe


class DocstringSections(griffe.Extension):
    """Renames the sections and fences the other examples before a docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        """Rewrites the docstring of one object."""
        if obj.docstring:
            text = re.sub(
                r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE
            )
            fenced = r"```pycon\n\g<0>\n```"
            obj.docstring.value = re.sub(r"^>>> .*(?:\n.+)*", fenced, text, flags=re.MULTILINE)
