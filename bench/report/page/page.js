// The parts of the page, and what is drawn anew when something is chosen.
const PARTS = {
  switches,
  table: drawTable,
  cost: costs,
  forest,
  matrix,
  history,
  looks,
  tuning,
  references,
  lists: userLists,
  failures: failed,
  notes: remarks,
};
const AT_ONCE = ["switches", "table"];
/** What shows the chosen group and metric. */
const VIEW = ["switches", "table", "cost", "forest", "matrix", "history", "looks", "references"];
let waiting = [];
let timer = 0;
/** Milliseconds after which the browser has shown what was drawn before. */
const FRAME = 20;

/** Change the state and draw the named parts anew, or everything. */
function change(values, parts) {
  Object.assign(state, values);
  toAddress();
  refresh(parts);
}

function current() {
  return DATA.tables.find((one) => one.name === state.table) ?? DATA.tables[0];
}

/** What is not there in this table is replaced by what is. */
function settle(table) {
  if (!["auto", "light", "dark"].includes(state.theme)) state.theme = "auto";
  if (!["fit", "recommend", "memory"].includes(state.cost)) state.cost = "fit";
  if (!Object.hasOwn(WORDS, state.language)) state.language = navigator.language.startsWith("zh") ? "zh" : "en";
  if (!table.groups.some((group) => group.name === state.group)) state.group = "all";
  if (!table.metrics.includes(state.metric)) state.metric = table.first;
  if (table.lists && !table.lists.users[state.user]) state.user = 0;
}

function refresh(parts) {
  const table = current();
  settle(table);
  document.documentElement.dataset.theme = state.theme;
  if (!parts) return everything(table);
  const late = parts.length > 1 ? parts.filter((key) => !AT_ONCE.includes(key)) : [];
  for (const key of parts) if (!late.includes(key)) draw(key, table);
  drawLater(late);
}

function draw(key, table) {
  const focused = document.activeElement;
  const place = document.getElementById(`at-${key}`);
  const again = place.contains(focused) && marker(focused);
  const left = place.querySelector(".scroll")?.scrollLeft ?? 0;
  place.replaceChildren(...[PARTS[key](table)].filter(Boolean));
  if (left) place.querySelector(".scroll").scrollLeft = left;
  if (again) place.querySelector(again)?.focus();
}

/** Draw parts one by one, each when there is time; what is chosen meanwhile comes first. */
function drawLater(parts) {
  waiting = [...waiting.filter((key) => !parts.includes(key)), ...parts];
  document.documentElement.toggleAttribute("data-busy", waiting.length > 0);
  clearTimeout(timer);
  if (waiting.length) timer = setTimeout(drawNext, FRAME);
}

function drawNext() {
  draw(waiting.shift(), current());
  drawLater([]);
}

/** How to find an element again after its part was drawn anew. */
function marker(element) {
  if (element.dataset.sort) return `[data-sort="${CSS.escape(element.dataset.sort)}"]`;
  if (element.dataset.choice) return `[data-choice="${CSS.escape(element.dataset.choice)}"]`;
  if (element.type === "radio")
    return `input[name="${CSS.escape(element.name)}"][value="${CSS.escape(element.value)}"]`;
  return null;
}

function everything(table) {
  const focused = marker(document.activeElement);
  document.documentElement.lang = state.language === "zh" ? "zh-Hans" : "en";
  document.title = `${table.dataset} · recsys-bench`;
  const places = Object.keys(PARTS).map((key) => el("div", { id: `at-${key}` }));
  document.getElementById("top").replaceChildren(...head().filter(Boolean));
  document
    .getElementById("main")
    .replaceChildren(...introduction(table), ...places.slice(0, 2), copies(table), ...places.slice(2), footer());
  refresh(Object.keys(PARTS));
  if (focused) document.querySelector(focused)?.focus();
}

refresh();
let wide = width();
window.addEventListener("resize", () => {
  if (width() !== wide) refresh(["table", "cost", "forest", "history", "looks", "tuning"]);
  wide = width();
});
window.addEventListener("hashchange", () => {
  Object.assign(state, { ...DEFAULTS, language: state.language, theme: state.theme }, fromAddress());
  refresh();
});
