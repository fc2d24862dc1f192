"""Saves figures as SVG files that follow the light or dark mode of their reader.

Each color of `figures` has a counterpart for dark backgrounds here. The files keep the light colors
in place, so that programs without style sheets show them as in light mode.
"""

import io
import pathlib

import matplotlib
from matplotlib.figure import Figure

_DARK = {
    # Ink and gray.
    "#000000": "#e8e8e8",
    "#1a1a1a": "#e8e8e8",
    "#555555": "#bbbbbb",
    "#8c8c8c": "#a8a8a8",
    "#b8b8b8": "#5a626c",
    # The palette of runs.
    "#0072b2": "#58a9e6",
    "#d55e00": "#ff8c42",
    "#009e73": "#2bc79a",
    "#cc79a7": "#e3a0c4",
    "#e69f00": "#f0b432",
    "#56b4e9": "#94d3f7",
    # The stages of a curriculum.
    "#edf2f7": "#26313d",
    "#d3dee9": "#30414f",
    "#b4c6d8": "#3c5269",
    "#94adc6": "#4a6683",
}


def save_svg(figure: Figure, path: pathlib.Path) -> None:
    """Saves a figure with a transparent background and colors for both modes.

    Args:
      figure: the figure.
      path: path of the SVG file.
    """
    file = io.StringIO()
    unnamed = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": "cgar_jax"}):  # the same file for the same figure
        figure.savefig(file, format="svg", transparent=True, metadata=unnamed)
    head, opening, rest = file.getvalue().partition("<defs>")
    path.write_text(f"{head}<style>{_style()}</style>\n{opening}{rest}", encoding="utf-8")


def _style() -> str:
    rules = [f"svg {{ fill: {_DARK['#000000']} }}"]  # matplotlib leaves black letters unstyled
    for light, dark in _DARK.items():
        for use in ("fill", "stroke"):
            rules.append(f'[style*="{use}: {light}"] {{ {use}: {dark} !important }}')
    return (
        ":root { color-scheme: light dark }\n"
        f"@media (prefers-color-scheme: dark) {{ {' '.join(rules)} }}"
    )
