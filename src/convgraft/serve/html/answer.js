// What the server said, as parts of the page. Names of classes and networks are text everywhere.
const VEIL = 0.75; // how dark it gets where a network found nothing

const part = (tag, given = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), given);
  made.append(...inside);
  return made;
};

// "resnet18@w.safetensors" as "resnet18": which weights it has stands in the fusion map.
const withoutWeights = (network) => network.split("@")[0];

// A share as a percentage; what rounding would make nothing or all is told as nearly so.
function share(value) {
  if (value === 0 || value === 1) return `${100 * value} %`;
  if (value < 0.0005) return "< 0.1 %";
  return value >= 0.9995 ? "> 99.9 %" : `${(100 * value).toFixed(1)} %`;
}

// A row with a bar; one that can be pressed when `press` is given.
function barRow(label, value, press) {
  const fill = part("span", { className: "fill" });
  fill.style.width = `${100 * Math.min(1, value)}%`;
  const row = part(
    press ? "button" : "div",
    { className: "bar" },
    part("span", { className: "label", textContent: label }),
    part("span", { className: "value", textContent: share(value) }),
    part("span", { className: "track", ariaHidden: "true" }, fill),
  );
  if (press) {
    row.type = "button";
    row.addEventListener("click", press);
  }
  return part("li", {}, row);
}

// The picture, dark where a network found no evidence. The grid is over the whole picture.
function seen(address, evidence) {
  const picture = part("img", { src: address, alt: "" });
  const veil = part("span", { className: "veil" }, picture);
  if (evidence) {
    const { width, height, values } = evidence;
    const small = part("canvas", { width, height });
    const dots = new ImageData(width, height);
    values.flat().forEach((value, place) => {
      dots.data[4 * place + 3] = 255 * VEIL * (1 - value);
    });
    small.getContext("2d").putImageData(dots, 0, 0);
    const large = part("canvas", { width: 256, height: 256 });
    const brush = large.getContext("2d");
    brush.imageSmoothingQuality = "high";
    brush.drawImage(small, 0, 0, 256, 256);
    veil.append(large);
  }
  return part("div", { className: "seen" }, veil);
}

// A network: where it looked, what it says, and where that is from.
function sourceCard(source, address, answered) {
  const [first] = source.classes;
  const agrees = first?.label === answered;
  const says = first
    ? part(
        "p",
        {},
        part("strong", { textContent: first.label }),
        ` ${share(first.probability)}, `,
        part("span", { className: agrees ? "agrees" : "differs", textContent: agrees ? "as the answer" : "unlike the answer" }),
      )
    : part("p", { textContent: "Says nothing by itself." });
  const nearest = source.told === "nearest" ? "Nearest to its own answer: " : "From: ";
  const note = source.evidence
    ? `Looked at ${source.evidence.tap}.`
    : "It found no evidence for this class.";
  return part(
    "li",
    {},
    part("h3", { textContent: source.name }, part("small", { textContent: withoutWeights(source.network) })),
    seen(address, source.evidence),
    says,
    part("ol", { className: "bars" }, ...source.classes.map((one) => barRow(one.label, one.probability))),
    part("p", { className: "note", textContent: `${source.told === "none" ? "Why: " : nearest}${source.words}. ${note}` }),
  );
}

// How strongly parts of the fusion work: as a list, and on the map.
function strengthRow({ name, strength, of_image, words }) {
  const row = barRow(name, strength);
  row.append(part("p", { className: "note", textContent: `${words}${of_image ? "" : "; the same for every picture"}` }));
  return row;
}

function strengthen(map, strengths) {
  for (const shape of map.querySelectorAll("[data-facts]")) {
    shape.own ||= JSON.parse(shape.dataset.facts);
    const [title, ...lines] = shape.own;
    const wires = strengths.filter(({ part: kind, name }) => kind === "wire" && name === title);
    const inputs = title.startsWith("head ")
      ? strengths.filter(({ part: kind, name }) => kind !== "wire" && name.split(" → ")[1] === title.split(" ")[1])
      : [];
    const more = [
      ...wires.map(({ strength, words }) => ["this picture", `${share(strength)} (${words})`]),
      ...inputs.map(({ name, strength, words }) => [name.split(" → ")[0], `${share(strength)} (${words})`]),
    ];
    tellFacts(shape, [title, ...lines, ...more]);
    // a line is seen as wide as the root of what it carries, so that little can still be seen
    if (wires.length) shape.style.setProperty("--strength", Math.sqrt(wires[0].strength));
  }
  writeOnWires(map, strengths);
}

function tellFacts(shape, told) {
  shape.dataset.facts = JSON.stringify(told);
  if (!shape.hasAttribute("aria-label")) return;
  const spoken = told.slice(1).map((line) => line.join(": ")).join(", ");
  shape.setAttribute("aria-label", `${told[0]}. ${spoken}`);
}

// Below each wire's words what it carries; a way and its way back have one place, and two numbers.
function writeOnWires(map, strengths) {
  let carried = [];
  for (const wire of map.querySelectorAll(".wire")) {
    const found = strengths.find(({ part: kind, name }) => kind === "wire" && name === wire.own[0]);
    if (found) carried.push(share(found.strength));
    const chip = wire.querySelector(".chip");
    if (!chip) continue;
    wire.querySelector(".carries")?.remove();
    if (!carried.length) continue;
    const { x, y, width, height } = chip.getBBox();
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    text.setAttribute("class", "small carries");
    text.setAttribute("x", x + width / 2);
    text.setAttribute("y", y + height + 12);
    text.textContent = carried.join(", ");
    wire.append(text);
    carried = [];
  }
}
