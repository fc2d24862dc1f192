"""The sections of a report page."""

from typing import NamedTuple

from matplotlib.figure import Figure


class Section(NamedTuple):
    """One picture of the page.

    Attributes:
      title: heading above the picture.
      name: name of its file, without suffix.
      figure: the picture.
      caption: text below the picture.
      alt: alternative text.
    """

    title: str
    name: str
    figure: Figure
    caption: str
    alt: str
