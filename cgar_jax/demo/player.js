// The player: shows one frame at a time, and plays all frames when an outcome arrives.
// Gradio provides `element` and `watch`.

let timer = null;
const frames = () => element.querySelectorAll("[data-step]");
const slider = () => element.querySelector("[type=range]");
const show = (step) => {
  frames().forEach((frame) => {
    frame.hidden = frame.dataset.step !== String(step);
  });
  slider().value = step;
};
const label = () => {
  const button = element.querySelector("[data-play]");
  if (button) button.textContent = timer === null ? "\u25b6 play" : "pause";
};
const pause = () => {
  clearInterval(timer);
  timer = null;
  label();
};
const play = () => {
  pause();
  const last = frames().length;
  if (!last) return;
  if (+slider().value === last) show(1);
  timer = setInterval(() => {
    const step = +slider().value;
    if (step < last) show(step + 1);
    if (step + 1 >= last) pause();
  }, 600);
  label();
};
const open = () => {
  pause();
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
};
watch("value", open);
element.addEventListener("click", (event) => {
  if ("play" in event.target.dataset) timer === null ? play() : pause();
});
element.addEventListener("input", (event) => {
  pause();
  show(event.target.value);
});
open();
