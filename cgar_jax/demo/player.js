// The player: shows one frame at a time, and plays all frames when an outcome arrives.
// Gradio provides `element` and `watch`.

let timer;
const show = (step) => {
  element.querySelectorAll("[data-step]").forEach((frame) => {
    frame.hidden = frame.dataset.step !== String(step);
  });
  element.querySelector("[type=range]").value = step;
};
const play = () => {
  clearInterval(timer);
  const last = element.querySelectorAll("[data-step]").length;
  if (!last) return;
  let step = 1;
  show(step);
  timer = setInterval(() => (step < last ? show(++step) : clearInterval(timer)), 600);
};
watch("value", () => {
  clearInterval(timer);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
});
element.addEventListener("click", (event) => "play" in event.target.dataset && play());
element.addEventListener("input", (event) => {
  clearInterval(timer);
  show(event.target.value);
});
