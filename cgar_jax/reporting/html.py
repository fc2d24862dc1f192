"""A page of HTML that is one file: pictures are inside it, and it asks nothing of the network."""

import base64
import html
import os
import pathlib
from collections.abc import Iterable, Sequence

_STYLE = """
body { margin: 0 auto; max-width: 54rem; padding: 0 1rem 3rem; color: #1a1a1a; background: #fff;
       font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
p, figcaption { max-width: 44rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
figcaption { color: #444; font-size: 0.9rem; }
img { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
.beside { display: flex; flex-wrap: wrap; gap: 0 1.5rem; }
.beside figure { max-width: 100%; }
.beside figcaption { max-width: 26rem; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { border-bottom: 1px solid #ddd; padding: 0.2rem 1rem 0.2rem 0; text-align: left;
         vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
th.part { font-weight: normal; padding-left: 1rem; }
"""
_TYPES = {".png": "image/png", ".gif": "image/gif"}


class Page:
    """A page that grows from top to bottom. All texts are shown as they are, never as HTML."""

    def __init__(self, title: str):
        """Begins with `title` as the heading."""
        self._title = html.escape(title)
        self._parts = [f"<h1>{self._title}</h1>"]

    def section(self, title: str) -> None:
        """A heading."""
        self._parts.append(f"<h2>{html.escape(title)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table; the first cell of a row is its name, indented if it begins with a space."""

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

    def picture(self, path: pathlib.Path, caption: str) -> None:
        """A PNG or GIF file."""
        self._parts.append(_figure(path, caption))

    def pictures(self, pictures: Iterable[tuple[pathlib.Path, str]]) -> None:
        """PNG or GIF files with their captions, side by side where there is room."""
        figures = "\n".join(_figure(path, caption) for path, caption in pictures)
        self._parts.append(f'<div class="beside">\n{figures}\n</div>')

    def write(self, path: str | os.PathLike) -> None:
        """Writes the page."""
        parts = "\n".join(self._parts)
        pathlib.Path(path).write_text(
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{self._title}</title>\n<style>{_STYLE}</style>\n</head>\n"
            f"<body>\n{parts}\n</body>\n</html>\n",
            encoding="utf-8",
        )


def _figure(path: pathlib.Path, caption: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    source = f"data:{_TYPES[path.suffix]};base64,{content}"
    # The caption says all that a screen reader can tell of the picture.
    return f'<figure><img src="{source}" alt=""><figcaption>{text}</figcaption></figure>'
