// The drawn grid: a visitor selects a symbol and draws with it, or selects a cell and types.
// Gradio provides `props`, `element` and `trigger`.

const put = (cell, symbol) => {
  const unique = props.once.includes(symbol);
  const cells = [...props.value].map((other) => (unique && other === symbol ? props.blank : other));
  cells[cell] = symbol;
  props.value = cells.join("");
  trigger("input");
};
element.addEventListener("pointerdown", (event) => {
  const { cell, symbol } = event.target.dataset;
  if (symbol !== undefined) props.brush = symbol === props.brush ? "" : symbol;
  if (cell !== undefined && props.brush) put(+cell, props.brush);
  // Without this, dragging would report every move to the first cell only.
  event.target.releasePointerCapture(event.pointerId);
});
element.addEventListener("pointerover", (event) => {
  const { cell } = event.target.dataset;
  if (event.buttons === 1 && event.pointerType === "mouse" && cell !== undefined && props.brush)
    put(+cell, props.brush);
});
element.addEventListener("keydown", (event) => {
  const cell = document.activeElement.dataset.cell;
  if (cell === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -props.size, ArrowDown: props.size };
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  if (key in moves) element.querySelector(`[data-cell="${+cell + moves[key]}"]`)?.focus();
  else if (key in props.names) put(+cell, key);
  else if (["Backspace", "Delete", "0"].includes(key)) put(+cell, props.blank);
  else return;
  event.preventDefault();
});
