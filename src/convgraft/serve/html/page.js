// The page: a picture comes in, its answer is shown, then why.
const at = (id) => document.getElementById(id);
const map = document.querySelector("[data-map]");
const TOP = 5;
let model = null;
let asked = null; // the picture that is being looked at, its address, and what stops it
let strong = []; // the strengths that are shown
let ready = null; // settles when it is known what is served

async function begin() {
  const token = sessionStorage.getItem(TOKEN);
  try {
    model = await ask("v1/model");
  } catch (error) {
    if (token !== sessionStorage.getItem(TOKEN)) return undefined; // another was given meanwhile
    if (error.status === 401) return wantToken();
    at("about").textContent = error.message;
    return undefined;
  }
  at("entry").hidden = true;
  at("desk").hidden = false;
  at("name").textContent = model.name;
  document.title = `${model.name} - convgraft serve`;
  const names = model.networks.map(withoutWeights).join(", ");
  const networks = names && `${names}. `;
  at("about").textContent = `${networks}${model.labels.length} classes, ${model.size} x ${model.size} pixels, by ${model.engine}.`;
  at("curl").textContent = command();
  if (model.explains) drawMap();
  return undefined;
}

function command() {
  const token = sessionStorage.getItem(TOKEN) ? ' -H "Authorization: Bearer $CONVGRAFT_TOKEN"' : "";
  return `curl -F "images=@picture.jpg"${token} "${new URL("v1/predict?top=3", location.href)}"`;
}

function wantToken() {
  const wrong = sessionStorage.getItem(TOKEN) !== null;
  at("entry").hidden = false;
  at("desk").hidden = true;
  at("about").textContent = wrong ? "That was another token." : "It tells nobody without one what it serves.";
  at("token").focus();
}

async function drawMap() {
  if (map.querySelector("svg")) return;
  try {
    const { svg } = await ask("v1/map");
    const drawn = new DOMParser().parseFromString(svg, "text/html").querySelector("svg");
    map.querySelector(".tip").before(document.importNode(drawn, true));
    at("fusion").hidden = false;
    document.head.append(part("script", { src: "assets/map.js" }));
    strengthen(map, strong);
  } catch (error) {
    console.warn(error.message); // the page is whole without it
  }
}

async function look(file) {
  asked?.stop.abort();
  if (asked) URL.revokeObjectURL(asked.address);
  const mine = { file, address: URL.createObjectURL(file), stop: new AbortController() };
  asked = mine;
  show(mine.address);
  tell(part("p", { className: "about", textContent: "Looking." }));
  const began = performance.now();
  try {
    await ready;
    const { answers, engine } = await ask(`v1/predict?top=${TOP}`, { ...asForm(file), signal: mine.stop.signal });
    const took = `${Math.round(performance.now() - began)} ms, by ${engine}.`;
    showAnswer(answers[0].classes, took);
  } catch (error) {
    return fail(error);
  }
  if (model?.explains) return why(null);
  at("took").textContent += model?.why_not ? ` Not explained: ${model.why_not}.` : "";
  return undefined;
}

function show(address) {
  const shown = at("shown");
  const aspect = (value) => document.documentElement.style.setProperty("--aspect", value);
  aspect(1);
  shown.onload = () => {
    at("empty").hidden = true;
    aspect(shown.naturalWidth / shown.naturalHeight);
  };
  shown.onerror = () => {
    shown.hidden = true;
    at("empty").hidden = false;
    at("empty").textContent = "This browser cannot show that file. The server may still read it.";
  };
  shown.src = address;
  shown.hidden = false;
  at("sources").hidden = true;
  at("classes").replaceChildren();
  at("took").textContent = "";
}

function tell(...parts) {
  at("answer").replaceChildren(...parts);
}

function showAnswer(classes, took) {
  const [first] = classes;
  tell(part("p", { className: "first", textContent: `${first.label}, ${share(first.probability)}` }));
  const rows = classes.map((one) => {
    const row = barRow(one.label, one.probability, model?.explains ? () => why(one.index) : undefined);
    row.firstChild.dataset.index = one.index;
    return row;
  });
  at("classes").replaceChildren(...rows);
  at("answer").scrollIntoView({ block: "nearest" });
  at("took").textContent = took + (model?.explains ? " Press a class to see the evidence for it." : "");
}

async function why(index) {
  const mine = asked;
  const chosen = index === null ? "" : `&index=${index}`;
  for (const row of at("classes").querySelectorAll("button")) row.ariaPressed = "false";
  at("sources").ariaBusy = "true";
  try {
    const found = await ask(`v1/explain?top=3${chosen}`, { ...asForm(mine.file), signal: mine.stop.signal });
    if (mine === asked) showWhy(found, mine.address);
  } catch (error) {
    fail(error);
  }
  at("sources").ariaBusy = "false";
}

function showWhy({ explained, sources, strengths }, address) {
  const pressed = at("classes").querySelector(`[data-index="${explained.index}"]`);
  if (pressed) pressed.ariaPressed = "true";
  const answered = at("classes").querySelector(".label")?.textContent;
  at("explained").textContent = `Where they found evidence for ${explained.label}, and what each of them would answer.`;
  at("networks").replaceChildren(...sources.map((one) => sourceCard(one, address, answered)));
  at("sources").hidden = false;
  strong = strengths;
  strengthen(map, strong);
  const list = at("strengths");
  list.hidden = strengths.length === 0;
  list.open = strengths.length <= 6;
  list.querySelector("summary").textContent = `Strengths for this picture (${strengths.length})`;
  list.querySelector("ul").replaceChildren(...strengths.map(strengthRow));
}

function fail(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) wantToken();
  tell(part("p", { className: "problem", textContent: error.message }));
}

at("choose").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => {
  if (at("file").files.length) look(at("file").files[0]);
  at("file").value = "";
});
at("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value);
  ready = begin();
});
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData.files;
  if (file) look(file);
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    if (name === "drop" || !event.relatedTarget) at("drop").classList.remove("over");
  });
}
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) look(file);
});
useCamera(look);
ready = begin();
