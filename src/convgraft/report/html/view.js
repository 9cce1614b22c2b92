// The part of the fusion map that is seen: dragged by pointer, zoomed by buttons, wheel and keys.
const READABLE = 0.75; // a smaller scale would make the map's text too small to read
const STEP = 1.25;

for (const map of document.querySelectorAll("[data-map]")) {
  const picture = map.querySelector("svg");
  const { x, y, width, height } = picture.viewBox.baseVal;
  const whole = { x, y, width, height };
  let view = { ...whole };
  let held = null;

  const within = (value, low, length) => Math.min(Math.max(value, low), low + length);

  const apply = () => {
    view.x = within(view.x, whole.x - view.width / 2, whole.width);
    view.y = within(view.y, whole.y - view.height / 2, whole.height);
    picture.setAttribute("viewBox", [view.x, view.y, view.width, view.height].join(" "));
  };

  const scale = () => {
    const room = picture.getBoundingClientRect();
    return Math.min(room.width / view.width, room.height / view.height);
  };

  // Zoom; the point of the map that is at (left, top) on the screen stays there.
  const zoom = (factor, left, top) => {
    const bounded = Math.min(Math.max(factor, view.width / (whole.width * 1.2)), view.width / 80);
    const centre = new DOMPoint(view.x + view.width / 2, view.y + view.height / 2);
    const fixed = left === undefined
      ? centre
      : new DOMPoint(left, top).matrixTransform(picture.getScreenCTM().inverse());
    view = {
      x: fixed.x - (fixed.x - view.x) / bounded,
      y: fixed.y - (fixed.y - view.y) / bounded,
      width: view.width / bounded,
      height: view.height / bounded,
    };
    apply();
  };

  const all = () => {
    view = { ...whole };
    apply();
  };

  // On a narrow screen the map begins at a size that can be read, at its top.
  const begin = () => {
    all();
    const room = picture.getBoundingClientRect();
    if (!room.width || scale() >= READABLE) return;
    const wide = Math.min(whole.width, room.width / READABLE);
    const high = Math.min(whole.height, room.height / READABLE);
    view = { x: whole.x + (whole.width - wide) / 2, y: whole.y, width: wide, height: high };
    apply();
  };

  const actions = { in: () => zoom(STEP), out: () => zoom(1 / STEP), all };
  for (const button of map.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", actions[button.dataset.zoom]);
  }

  picture.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    held = { x: event.clientX, y: event.clientY };
    picture.setPointerCapture(event.pointerId);
    picture.classList.add("held");
  });
  picture.addEventListener("pointermove", (event) => {
    if (!held) return;
    const far = scale();
    view.x -= (event.clientX - held.x) / far;
    view.y -= (event.clientY - held.y) / far;
    held = { x: event.clientX, y: event.clientY };
    apply();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    picture.addEventListener(name, () => {
      held = null;
      picture.classList.remove("held");
    });
  }

  picture.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && !map.contains(document.activeElement)) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? STEP : 1 / STEP, event.clientX, event.clientY);
  }, { passive: false });

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      view.x += moves[event.key][0] * view.width * 0.1;
      view.y += moves[event.key][1] * view.height * 0.1;
      apply();
    } else if (event.key === "+" || event.key === "=") zoom(STEP);
    else if (event.key === "-") zoom(1 / STEP);
    else if (event.key === "0") all();
    else return;
    event.preventDefault();
  });

  // A part that gets the focus outside of what is seen is brought into it.
  map.addEventListener("reveal", ({ detail }) => {
    const room = picture.getBoundingClientRect();
    const part = (detail.querySelector(".chip, .box") || detail).getBoundingClientRect();
    const across = part.left >= room.left && part.right <= room.right;
    const seen = across && part.top >= room.top && part.bottom <= room.bottom;
    if (seen) return;
    view.x += ((part.left + part.right) / 2 - (room.left + room.right) / 2) / scale();
    view.y += ((part.top + part.bottom) / 2 - (room.top + room.bottom) / 2) / scale();
    apply();
  });

  window.addEventListener("beforeprint", all);
  begin();
}
