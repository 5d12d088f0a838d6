// State, the head of the page, and what is drawn anew when something is chosen.
const DEFAULTS = { table: "", group: "all", metric: "", sort: "value", reversed: false, seeds: false, cost: "fit", look: "coverage",
  against: "", lines: [], user: 0, language: "", theme: "auto" };
const PARTS = { table: drawTable, cost: costs, forest, matrix, history, looks, tuning, lists: userLists, failures: failed, notes: remarks };
const state = { ...DEFAULTS, ...fromAddress(), open: new Set() };

/** What the address says, so that a view can be linked. */
function fromAddress() {
  const found = {};
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
    if (!(key in DEFAULTS)) continue;
    const usual = DEFAULTS[key];
    found[key] = Array.isArray(usual) ? text.split("\n") : typeof usual === "boolean" ? text === "true" : typeof usual === "number" ? Number(text) || 0 : text;
  }
  return found;
}

function toAddress() {
  const changed = Object.keys(DEFAULTS).filter((key) => String(state[key]) !== String(DEFAULTS[key]) && state[key] !== "");
  const text = new URLSearchParams(changed.map((key) => [key, Array.isArray(state[key]) ? state[key].join("\n") : state[key]])).toString();
  replaceAddress(text);
}

function replaceAddress(text) {
  try {
    window.history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  } catch {
    // A page in a sandbox has no address of its own.
  }
}

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
  if (!WORDS[state.language]) state.language = navigator.language.startsWith("zh") ? "zh" : "en";
  if (!table.groups.some((group) => group.name === state.group)) state.group = "all";
  if (!table.metrics.includes(state.metric)) state.metric = table.first;
  if (table.lists && !table.lists.users[state.user]) state.user = 0;
}

function refresh(parts) {
  const table = current();
  settle(table);
  if (!parts) return everything(table);
  for (const key of parts) {
    const focused = document.activeElement;
    const place = document.getElementById(`at-${key}`);
    const again = place.contains(focused) && marker(focused);
    const left = place.querySelector(".scroll")?.scrollLeft ?? 0;
    place.replaceChildren(...[PARTS[key](table)].filter(Boolean));
    if (left) place.querySelector(".scroll").scrollLeft = left;
    if (again) place.querySelector(again)?.focus();
  }
}

/** How to find an element again after its part was drawn anew. */
function marker(element) {
  if (element.dataset.sort) return `[data-sort="${CSS.escape(element.dataset.sort)}"]`;
  if (element.dataset.choice) return `[data-choice="${CSS.escape(element.dataset.choice)}"]`;
  if (element.type === "radio") return `input[name="${CSS.escape(element.name)}"][value="${CSS.escape(element.value)}"]`;
  return null;
}

function everything(table) {
  const focused = marker(document.activeElement);
  document.documentElement.lang = state.language === "zh" ? "zh-Hans" : "en";
  document.documentElement.dataset.theme = state.theme;
  document.title = `${table.dataset} · recsys-bench`;
  const places = Object.keys(PARTS).map((key) => el("div", { id: `at-${key}` }));
  document.getElementById("top").replaceChildren(...head());
  document.getElementById("main").replaceChildren(...introduction(table), switches(table), places[0], copies(table), ...places.slice(1), footer());
  refresh(Object.keys(PARTS));
  if (focused) document.querySelector(focused)?.focus();
}

function head() {
  const themes = ["auto", "light", "dark"].map((one) => [one, words(`theme.${one}`)]);
  const languages = Object.keys(WORDS).map((one) => [one, WORDS[one].language]);
  const tables = DATA.tables.map((one) => [one.name, `${one.dataset} · ${one.protocol.name}${twins(one) ? ` · ${one.fingerprint.slice(0, 8)}` : ""}`]);
  const choose = DATA.tables.length > 1 ? choice("choose.table", tables, current().name, (table) => change({ table, open: new Set(), lines: [] }), 4) : null;
  return [
    el("div", { class: "bar" }, el("h1", {}, words("title")),
      choice("choose.language", languages, state.language, (language) => change({ language })),
      choice("choose.theme", themes, state.theme, (theme) => change({ theme }))),
    choose,
  ];
}

function twins(table) {
  return DATA.tables.filter((one) => one.dataset === table.dataset && one.protocol.name === table.protocol.name).length > 1;
}

function introduction(table) {
  const { split, history: known, exclude, candidates } = table.protocol;
  const ratios = (split.ratios ?? split.user_ratios ?? []).join(":");
  const kind = split.kind === "ratio" ? `ratio.${split.order}` : split.kind;
  const said = [words(`split.${kind}`, { ...split, ratios, share: Math.round(100 * (split.fold_in_ratio ?? 0)) }),
    words(`known.${known}`), words(`exclude.${exclude}`), words(`candidates.${candidates}`)].join(words("stop"));
  return [
    el("h2", {}, name(table.dataset), el("small", {}, ` ${table.protocol.name}`)),
    el("p", { class: "protocol", title: `${table.rules}; ${table.fingerprint}` }, said, " ", el("span", { class: "print" }, words("fingerprint", { text: table.fingerprint.slice(0, 12) }))),
    el("div", { id: "verdict", "aria-live": "polite" }, verdict(table)),
  ];
}

/** What the table says, in a sentence or two. */
function verdict(table) {
  const own = judgement(table, "all");
  const tail = table.groups.find((group) => group.name === "long tail");
  const level = (group) => table.rows.filter((row) => row.ranks[group]?.[0] === 1).map((row) => row.name);
  const same = tail && level("all").length && String(level("all")) === String(level("long tail"));
  const also = tail && (same ? words("verdict.same") : judgement(table, "long tail"));
  const all = table.groups.find((group) => group.name === "all");
  return [
    el("p", { class: "verdict" }, own),
    also ? el("p", { class: "verdict second" }, sentence("verdict.tail", { n: amount(tail.n), all: amount(all.n) }), also) : null,
    table.detectable === null ? null : el("p", { class: "help" }, words("detectable", { value: number(table.detectable) })),
  ];
}

function judgement(table, group) {
  const judged = table.rows.filter((row) => row.ranks[group]);
  const strong = (row) => el("b", {}, name(row.name));
  const metric = table.first;
  if (judged.length < 2) {
    const at = table.metrics.indexOf(metric);
    const [best] = table.rows.filter((row) => row.means[group]?.[at] != null).sort((a, b) => b.means[group][at] - a.means[group][at]);
    return best ? sentence("verdict.unjudged", { row: strong(best), metric, value: number(best.means[group][at]) }) : words("verdict.nothing");
  }
  const level = judged.filter((row) => row.ranks[group][0] === 1);
  if (level.length === 1) return sentence("verdict.one", { row: strong(level[0]), n: judged.length - 1, metric });
  if (level.length === judged.length) return sentence("verdict.all", { n: level.length, metric });
  const few = level.slice(0, 6).map(strong);
  const rows = level.length > 6 ? [...few, words("more", { n: level.length - 6 })] : few;
  return sentence("verdict.level", { rows: listed(rows), n: judged.length, metric });
}

function switches(table) {
  const [metric, cut] = state.metric.split("@");
  const kinds = [...new Set(table.metrics.map((one) => one.split("@")[0]))].sort((a, b) => rankOf(a) - rankOf(b));
  const cuts = [...new Set(table.metrics.map((one) => one.split("@")[1]))].sort((a, b) => a - b);
  const groups = table.groups.map((one) => [one.name, `${named("group", one.name)} (${amount(one.n)})`]);
  const set = (one) => change({ metric: table.metrics.includes(one) ? one : table.first });
  const group = table.groups.find((one) => one.name === state.group);
  return el("div", { class: "switches" },
    choice("choose.group", groups, state.group, (one) => change({ group: one }), 3),
    choice("choose.metric", kinds.map((one) => [one, one]), metric, (one) => set(`${one}@${cut}`), 6),
    choice("choose.cut", cuts.map((one) => [one, one]), cut, (one) => set(`${metric}@${one}`)),
    el("label", { class: "choice tick-box" }, el("input", { type: "checkbox", checked: state.seeds, "data-choice": "seeds", change: (event) => change({ seeds: event.target.checked }, ["table"]) }), el("span", {}, words("choose.seeds"))),
    el("p", { class: "help" }, group.name === "all" ? "" : `${named("group", group.name)}: ${rule(group.rule)}. `, words(state.metric === table.first ? "table.help" : "table.unranked", { metric: table.first })));
}

function rankOf(metric) {
  const at = MAIN.indexOf(metric);
  return at < 0 ? MAIN.length : at;
}

function copies(table) {
  const base = decodeURIComponent(location.pathname.split("/").pop() || "report.html").replace(/\.html?$/, "");
  return el("p", { class: "copies" }, copier("copy.latex", table.latex), copier("copy.markdown", table.markdown),
    button(words("save.json"), () => save(JSON.stringify(DATA, null, 1), "application/json", `${base}.json`)),
    el("span", { class: "help" }, words("files", { base })));
}

function footer() {
  return el("footer", {}, words("footer", { created: DATA.created.slice(0, 10), folders: DATA.folders.length > 1 ? DATA.folders.map((one) => named("origin", one)).join(", ") : "" }));
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
