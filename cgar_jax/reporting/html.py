"""A report page as one HTML file: pictures are embedded, and nothing comes from the network."""

import base64
import html
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #444; --line: #ccc; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --soft: #b8b8b8; --line: #444; --paper: #16191d; }
}
body { margin: 0 auto; max-width: 54rem; padding: 0 1rem 3rem; color: var(--ink);
       background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.5rem;
     border-top: 1px solid var(--line); padding-top: 1rem; }
p, figcaption { max-width: 44rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figcaption { color: var(--soft); font-size: 0.9rem; }
img { max-width: 100%; height: auto; }
img.chart { width: 37rem; }
img.animation { background: #fff; border-radius: 6px; }
pre { overflow-x: auto; font-size: 0.85rem; border: 1px solid var(--line); padding: 0.5rem; }
summary { cursor: pointer; }
.scroll { overflow-x: auto; }
.beside { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
.beside figure { max-width: 100%; }
.beside figcaption { max-width: 26rem; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { border-bottom: 1px solid var(--line); padding: 0.2rem 1rem 0.2rem 0; text-align: left;
         vertical-align: top; }
thead th { border-bottom: 2px solid var(--soft); }
td { font-variant-numeric: tabular-nums; }
th.part { font-weight: normal; padding-left: 1rem; }
"""
_TYPES = {".svg": ("chart", "image/svg+xml"), ".gif": ("animation", "image/gif")}


class Picture(NamedTuple):
    """A picture file with its caption.

    Attributes:
      path: an SVG or GIF file.
      caption: text below the picture.
      alt: alternative text, which describes the picture to screen readers.
    """

    path: pathlib.Path
    caption: str
    alt: str


class Page:
    """A page that grows from top to bottom; all texts are escaped."""

    def __init__(self, title: str):
        """Starts a page.

        Args:
          title: heading of the page.
        """
        self._title = html.escape(title)
        self._parts = [f"<h1>{self._title}</h1>"]

    def add_heading(self, title: str) -> None:
        """Adds the heading of a section.

        Args:
          title: text of the heading.
        """
        self._parts.append(f"<h2>{html.escape(title)}</h2>")

    def add_text(self, text: str) -> None:
        """Adds a paragraph.

        Args:
          text: text of the paragraph.
        """
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def add_table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Adds a table.

        Args:
          header: heading of each column.
          rows: cells of each row; the first cell names the row, and is indented if it begins with a
            space.
        """

        def name(cell):
            part = ' class="part"' if cell.startswith(" ") else ""
            return f'<th scope="row"{part}>{html.escape(cell.strip())}</th>'

        head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in header)
        body = "\n".join(
            f"<tr>{name(first)}{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
            for first, *cells in rows
        )
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
        self._parts.append(f'<div class="scroll">{table}</div>')

    def add_details(self, summary: str, text: str) -> None:
        """Adds preformatted text that opens with a click.

        Args:
          summary: text to click on.
          text: the text.
        """
        summary, text = html.escape(summary), html.escape(text)
        self._parts.append(f"<details><summary>{summary}</summary><pre>{text}</pre></details>")

    def add_picture(self, picture: Picture) -> None:
        """Adds a picture with its caption.

        Args:
          picture: the picture.
        """
        self._parts.append(_figure(picture))

    def add_pictures(self, pictures: Iterable[Picture]) -> None:
        """Adds pictures with their captions, side by side where the window is wide enough.

        Args:
          pictures: the pictures.
        """
        figures = "\n".join(map(_figure, pictures))
        self._parts.append(f'<div class="beside">\n{figures}\n</div>')

    def write(self, path: str | os.PathLike) -> None:
        """Writes the page to a file.

        Args:
          path: path of the file.
        """
        parts = "\n".join(self._parts)
        pathlib.Path(path).write_text(
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{self._title}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{parts}\n</body>\n</html>\n",
            encoding="utf-8",
        )


def _figure(picture: Picture) -> str:
    content = base64.b64encode(picture.path.read_bytes()).decode()
    kind, media_type = _TYPES[picture.path.suffix]
    image = (
        f'<img class="{kind}" src="data:{media_type};base64,{content}" '
        f'alt="{html.escape(picture.alt)}">'
    )
    return f"<figure>{image}<figcaption>{html.escape(picture.caption)}</figcaption></figure>"
