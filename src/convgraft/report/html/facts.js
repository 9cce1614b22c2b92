"use strict";
// What is told of a part of the fusion map, beside it, while it is pointed at or has the focus.
for (const map of document.querySelectorAll("[data-map]")) {
  const tip = map.querySelector(".tip");
  let shown = null;

  const write = (text) => {
    const [title, ...lines] = JSON.parse(text);
    const rows = lines.map(([name, value]) => {
      const row = document.createElement("div");
      row.append(Object.assign(document.createElement("i"), { textContent: name }), value);
      return row;
    });
    tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: title }), ...rows);
  };

  const place = (x, y) => {
    const room = map.getBoundingClientRect();
    const left = Math.min(x - room.left + 14, room.width - tip.offsetWidth - 8);
    const below = y - room.top + 16;
    const above = y - room.top - tip.offsetHeight - 28;
    const bottom = Math.max(8, room.height - tip.offsetHeight - 8);
    const fits = below + tip.offsetHeight < room.height;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${fits ? below : above >= 8 ? above : bottom}px`;
  };

  const show = (part, x, y) => {
    if (part !== shown) write(part.dataset.facts);
    shown = part;
    tip.hidden = false;
    place(x, y);
  };

  const hide = () => {
    shown = null;
    tip.hidden = true;
  };

  const middle = (part) => {
    const box = (part.querySelector(".chip, .box") || part).getBoundingClientRect();
    return [box.left + box.width / 2, box.bottom - 10];
  };

  map.addEventListener("pointermove", (event) => {
    const part = event.target.closest("[data-facts]");
    if (part) show(part, event.clientX, event.clientY);
    else if (!map.contains(document.activeElement?.closest("[data-facts]"))) hide();
  });
  map.addEventListener("pointerleave", hide);
  map.addEventListener("focusin", (event) => {
    const part = event.target.closest("[data-facts]");
    if (!part) return hide();
    map.dispatchEvent(new CustomEvent("reveal", { detail: part }));
    show(part, ...middle(part));
  });
  map.addEventListener("focusout", hide);
  map.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
}
