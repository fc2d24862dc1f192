"""A web page to play with a trained model: `cgar demo --workdir=FOLDER`.

One types, pastes or draws a puzzle and watches the answer change from supervision step to
supervision step, until it is verified or not solved. `asking` asks the model, `drawing` turns what
it says into HTML, `page` lays the page out with Gradio; `page.css`, `editor.js` and `player.js` are
what the browser is given besides. Nothing that a visitor enters is executed, here or there.
"""
