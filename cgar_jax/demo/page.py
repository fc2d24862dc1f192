"""The page itself: its layout, its events, and its server, which only this machine can reach.

The HTML of outcomes comes from `drawing`, the answers come from `demonstration`.
"""

import functools
import importlib.resources
import json
import os
import socket
from types import ModuleType
from typing import Any

import numpy as np

from cgar_jax.demo import drawing, search_drawing
from cgar_jax.demo.demonstration import Demonstration, Outcome, SearchOutcome

HOST = "127.0.0.1"
# Gradio executes {{ }} in templates as JavaScript. Our templates only use ${ }, which is safe.
FILES = importlib.resources.files("cgar_jax.demo")
HINT = '<p class="hint">Enter a puzzle and press <b>Solve</b> to watch the model think.</p>'
NUM_EXAMPLES = 20
# The browser itself shows examples, and keeps the drawn grid and the text equal. So no click waits
# for the server, and "Solve" always sends what is visible. Only the server checks the text.
EXAMPLE = """({ size, examples, hint }) => () => {
  window.exampleNumber = ((window.exampleNumber ?? -1) + 1) % examples.length;
  const cells = examples[window.exampleNumber];
  return [cells, cells.match(RegExp(`.{${size}}`, "g")).join("\\n"), hint];
}"""
DRAWN = """({ size, hint }) => (cells) =>
  [cells.match(RegExp(`.{${size}}`, "g")).join("\\n"), hint]"""
TYPED = """({ size, symbols, blank, hint }) => (text, cells) => {
  const read = [...text.replaceAll("0", blank)].filter((symbol) => symbols.includes(symbol));
  return [read.length === size * size ? read.join("") : cells, hint];
}"""


def require_gradio() -> ModuleType:
    """Returns Gradio with its network analytics switched off.

    Raises:
      ValueError: if Gradio is not installed; the message says how to install it.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    try:
        import gradio
    except ImportError:
        raise ValueError(
            "the page needs Gradio, which is not installed: pip install 'cgar_jax[demo]'"
        ) from None
    return gradio


def check_port(port: int) -> None:
    """Checks that a port is free; Gradio would do so only after the model has been compiled.

    Args:
      port: number of the port.

    Raises:
      OSError: if nothing can be served on the port.
    """
    try:
        with socket.create_server((HOST, port)):
            pass
    except OSError as error:
        raise OSError(
            f"port {port}: {os.strerror(error.errno)}; choose another with --port"
        ) from None


def serve(demonstration: Demonstration, opening: Outcome | SearchOutcome, port: int) -> None:
    """Serves the page until the process is stopped.

    Args:
      demonstration: the model.
      opening: the puzzle that the page opens with, and its solution.
      port: port on this machine.
    """
    gradio = require_gradio()
    look = drawing.look_of(demonstration.name, demonstration.num_cells)
    page = build(demonstration, look, opening)
    page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        run_history=False,
        max_file_size=1,
        footer_links=[],
        # Fonts of the system: Gradio would load others from the network.
        theme=gradio.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=_file("page.css") + look.css + f".grid {{ --size: {demonstration.size}; }}",
    )
    print(f"serving on http://{HOST}:{port}; stop with Ctrl-C", flush=True)
    page.block_thread()


def build(
    demonstration: Demonstration, look: drawing.Look, opening: Outcome | SearchOutcome
) -> Any:
    """Lays out the page and connects its parts.

    Args:
      demonstration: the model.
      look: look of the puzzle family.
      opening: the puzzle that the page opens with, and its solution.

    Returns:
      The page, a `Blocks` of Gradio.
    """
    gr = require_gradio()
    blank = look.rules.to_text(np.full(demonstration.num_cells, look.rules.blank))
    style = {"apply_default_css": False, "elem_classes": [demonstration.name]}
    with gr.Blocks(title="cgar_jax", analytics_enabled=False) as page:
        about = f"<h1>{_title(demonstration)}</h1><p>{demonstration.about()}</p>"
        gr.HTML(about, apply_default_css=False)
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                editor = gr.HTML(
                    look.rules.to_text(opening.trajectory.question),
                    html_template=_file("editor.html"),
                    js_on_load=_file("editor.js"),
                    elem_id="editor",
                    size=demonstration.size,
                    names=look.names,
                    once=look.once,
                    groups=look.groups,
                    blank=blank[0],
                    brush=look.brush,
                    **style,
                )
                text = gr.Textbox(
                    _in_lines(demonstration, opening.trajectory.question),
                    label="Type or paste a puzzle here",
                    lines=min(demonstration.size, 9),
                    max_lines=12,
                    max_length=demonstration.max_characters,
                    elem_id="text",
                )
                with gr.Row():
                    example, clear = (
                        gr.Button(name, min_width=80) for name in ("Example", "Clear")
                    )
                    solve = gr.Button("Solve", variant="primary", min_width=80)
            with gr.Column(min_width=300):
                outcome = gr.HTML(
                    draw(opening, look),
                    js_on_load=_file("player.js"),
                    elem_id="outcome",
                    **style,
                )
        settings = {"size": demonstration.size, "symbols": "".join(look.names), "blank": blank[0]}
        examples = [demonstration.example() for _ in range(NUM_EXAMPLES)]
        settings["examples"] = [look.rules.to_text(each) for each in examples]
        settings = json.dumps(settings | {"hint": HINT})
        editor.input(None, editor, [text, outcome], js=f"({DRAWN})({settings})")
        text.change(None, [text, editor], [editor, outcome], js=f"({TYPED})({settings})")
        everything = [editor, text, outcome]
        example.click(None, None, everything, js=f"({EXAMPLE})({settings})")
        clear.click(None, None, everything, js=f"() => {json.dumps([blank, '', HINT])}")
        ask = functools.partial(answer, demonstration, look)
        solve.click(ask, text, outcome, api_visibility="private")
    return page.queue(default_concurrency_limit=1, max_size=16)


def answer(demonstration: Demonstration, look: drawing.Look, text: str) -> str:
    """Returns the HTML for a text that a visitor entered: an outcome, or an explanation.

    Args:
      demonstration: the model.
      look: look of the puzzle family.
      text: the text.
    """
    try:
        question, remark = demonstration.read(text)
    except ValueError as error:
        return drawing.draw_error(error)
    return draw(demonstration.ask(question, remark), look)


def draw(outcome: Outcome | SearchOutcome, look: drawing.Look) -> str:
    """Returns the HTML of an outcome.

    Args:
      outcome: the outcome.
      look: look of the puzzle family.
    """
    if isinstance(outcome, SearchOutcome):
        return search_drawing.draw_search(outcome, look)
    return drawing.draw_outcome(outcome, look)


def _in_lines(demonstration: Demonstration, question: np.ndarray) -> str:
    """Returns a puzzle as text with one line per row."""
    rows = question.reshape(demonstration.size, -1)
    return "\n".join(map(demonstration.rules.to_text, rows))


def _title(demonstration: Demonstration) -> str:
    kind = {"maze": "mazes", "sudoku": "Sudokus"}[demonstration.name]
    size = f"{demonstration.size}x{demonstration.size}"
    return f"Watch a tiny recursive model solve {size} {kind}"


def _file(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")
