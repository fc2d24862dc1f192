"""The page itself: what is where, what calls what, and how it is served to this machine alone."""

import functools
import importlib.resources
import json
import os
import socket
from types import ModuleType
from typing import Any

import numpy as np

from cgar_jax.demo import drawing
from cgar_jax.demo.asking import Demonstration

HOST = "127.0.0.1"
FILES = importlib.resources.files("cgar_jax.demo")
HINT = '<p class="hint">Enter a puzzle and press <b>Solve</b> to watch the model think.</p>'


def require_gradio() -> ModuleType:
    """Gradio, which looks nothing up on the network.

    Raises:
      ValueError: it is not installed; the message says how to.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # is read when it is imported
    try:
        import gradio
    except ImportError:
        raise ValueError(
            "the page needs Gradio, which is not installed: pip install 'cgar_jax[demo]'"
        ) from None
    return gradio


def check_port(port: int) -> None:
    """Raises `OSError` if nothing can be served on a port; Gradio would say so much later."""
    try:
        with socket.create_server((HOST, port)):
            pass
    except OSError as error:
        raise OSError(f"port {port}: {error.strerror}; choose another with --port") from None


def serve(demonstration: Demonstration, port: int) -> None:
    """Serves the page until the process is stopped."""
    gradio = require_gradio()
    look = drawing.look_of(demonstration.name, demonstration.num_cells)
    page = build(demonstration, look)
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
        # Fonts of the system; others would come from the network.
        theme=gradio.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        css=_file("page.css") + look.css + f".grid {{ --size: {demonstration.size}; }}",
    )
    print(f"serving on http://{HOST}:{port}; stop it with Ctrl-C", flush=True)
    page.block_thread()


def build(demonstration: Demonstration, look: drawing.Look) -> Any:
    """Lays out the page and ties its parts together; returns Gradio's `Blocks`."""
    gr = require_gradio()
    blank = np.full(demonstration.num_cells, look.blank)
    with gr.Blocks(
        title=f"cgar_jax {demonstration.name}", analytics_enabled=False, fill_width=False
    ) as page:
        gr.HTML(f"<h1>{_title(demonstration)}</h1>")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=300):
                editor = gr.HTML(
                    look.family.text(blank),
                    html_template=_file("editor.html"),
                    js_on_load=_file("editor.js"),
                    elem_id="editor",
                    elem_classes=[demonstration.name],
                    size=demonstration.size,
                    names=look.names,
                    once=look.once,
                    blank=look.family.text(blank[:1]),
                    brush=look.brush,
                )
                text = gr.Textbox(
                    label="The puzzle as text: type or paste it here",
                    lines=min(demonstration.size, 9),
                    max_lines=12,
                    max_length=demonstration.max_characters,
                    elem_id="text",
                )
                with gr.Row():
                    example = gr.Button("Example", elem_id="example", min_width=80)
                    clear = gr.Button("Clear", elem_id="clear", min_width=80)
                    solve = gr.Button("Solve", variant="primary", elem_id="solve", min_width=80)
            with gr.Column(min_width=300):
                outcome = gr.HTML(
                    HINT,
                    js_on_load=_file("player.js"),
                    elem_id="outcome",
                    elem_classes=[demonstration.name],
                )

        def listen(event, function, *others, **options):
            event(function, *others, api_visibility="private", show_progress="hidden", **options)

        # What is drawn becomes text without asking the server, so that no click is lost.
        lines = f"(cells) => [cells.match(/.{{{demonstration.size}}}/g).join('\\n'), {json.dumps(HINT)}]"
        listen(editor.input, None, editor, [text, outcome], js=lines)
        fresh = [editor, text, outcome]
        show = functools.partial(_shown, demonstration)
        listen(text.input, functools.partial(_drawn, demonstration), text, [editor, outcome], queue=False)
        listen(example.click, lambda: show(demonstration.example()), None, fresh, queue=False)
        listen(clear.click, lambda: show(blank), None, fresh, queue=False)
        solve.click(functools.partial(answer, demonstration, look), text, outcome, api_visibility="private")
    return page.queue(default_concurrency_limit=1, max_size=16)


def answer(demonstration: Demonstration, look: drawing.Look, text: str) -> str:
    """What is shown of a puzzle that was entered: an outcome, or a sentence of what is wrong."""
    try:
        question, remark = demonstration.read(text)
    except ValueError as error:
        return drawing.sentence(error)
    return drawing.outcome(demonstration.ask(question, remark), look)


def _shown(demonstration: Demonstration, tokens: np.ndarray) -> tuple[str, str, str]:
    """A puzzle for the editor and as text, and no outcome."""
    cells = demonstration.family.text(tokens)
    size = demonstration.size
    rows = [cells[start : start + size] for start in range(0, len(cells), size)]
    return cells, "\n".join(rows), HINT


def _drawn(demonstration: Demonstration, text: str) -> tuple[Any, str]:
    """What is typed, for the editor, if it is a whole puzzle yet; and no outcome."""
    cells = demonstration.cells(text)
    return cells if cells else require_gradio().skip(), HINT


def _title(demonstration: Demonstration) -> str:
    size, name = demonstration.size, demonstration.name
    return f"Watch a tiny recursive model solve {size}x{size} {'mazes' if name == 'maze' else 'Sudoku'}"


def _file(name: str) -> str:
    return (FILES / name).read_text()
