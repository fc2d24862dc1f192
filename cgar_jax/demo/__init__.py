"""A web page to play with a trained model: `cgar demo --workdir=FOLDER`.

A visitor types, pastes or draws a puzzle and watches the answer change from one supervision step to
the next, or the candidates disappear from one pass to the next, until the answer is verified or the
puzzle remains unsolved. `demonstration` solves the puzzle, `drawing` and `search_drawing` turn
outcomes into HTML, and `page` lays out the page with Gradio. The browser also gets
`page.css`, `editor.js` and `player.js`. Nothing that a visitor enters is ever executed.
"""
