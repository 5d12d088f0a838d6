// The head of the page, the switches above the table, and the foot.
function head() {
  const themes = ["auto", "light", "dark"].map((one) => [one, words(`theme.${one}`)]);
  const languages = Object.keys(WORDS).map((one) => [one, WORDS[one].language]);
  const tables = DATA.tables.map((one) => [
    one.name,
    `${one.dataset} · ${one.protocol.name}${twins(one) ? ` · ${one.fingerprint.slice(0, 8)}` : ""}`,
  ]);
  const choose =
    DATA.tables.length > 1
      ? choice(
          "choose.table",
          tables,
          current().name,
          (table) => change({ table, open: new Set(), lines: [], all: false }),
          4,
        )
      : null;
  return [
    el(
      "div",
      { class: "bar" },
      el("h1", {}, words("title")),
      choice("choose.language", languages, state.language, (language) => change({ language })),
      choice("choose.theme", themes, state.theme, (theme) => change({ theme }, [])),
    ),
    choose,
  ];
}

function twins(table) {
  return (
    DATA.tables.filter((one) => one.dataset === table.dataset && one.protocol.name === table.protocol.name).length > 1
  );
}

function switches(table) {
  const [metric, cut] = state.metric.split("@");
  const kinds = [...new Set(table.metrics.map((one) => one.split("@")[0]))].sort((a, b) => rankOf(a) - rankOf(b));
  const cuts = [...new Set(table.metrics.map((one) => one.split("@")[1]))].sort((a, b) => a - b);
  const groups = table.groups.map((one) => [one.name, `${named("group", one.name)} (${amount(one.n)})`]);
  const set = (one) => change({ metric: table.metrics.includes(one) ? one : table.first }, VIEW);
  const group = table.groups.find((one) => one.name === state.group);
  return el(
    "div",
    { class: "switches" },
    choice("choose.group", groups, state.group, (one) => change({ group: one }, VIEW), 3),
    choice(
      "choose.metric",
      kinds.map((one) => [one, one]),
      metric,
      (one) => set(`${one}@${cut}`),
      6,
    ),
    choice(
      "choose.cut",
      cuts.map((one) => [one, one]),
      cut,
      (one) => set(`${metric}@${one}`),
    ),
    el(
      "label",
      { class: "choice tick-box" },
      el("input", {
        type: "checkbox",
        checked: state.seeds,
        "data-choice": "seeds",
        change: (event) => change({ seeds: event.target.checked }, ["table"]),
      }),
      el("span", {}, words("choose.seeds")),
    ),
    el(
      "p",
      { class: "help" },
      !group || group.name === "all" ? "" : `${named("group", group.name)}: ${rule(group.rule)}. `,
      words(state.metric === table.first ? "table.help" : "table.unranked", { metric: table.first }),
      table.rows.some((row) => row.one_of_many_seeds && !row.failures.length)
        ? ` ${words("table.alone", { spread: `${Number((100 * table.seed_spread).toFixed(1))} %` })}`
        : "",
      table.rows.some((row) => row.seeds === 2 && !row.failures.length) ? ` ${words("table.two")}` : "",
    ),
  );
}

function rankOf(metric) {
  const at = MAIN.indexOf(metric);
  return at < 0 ? MAIN.length : at;
}

function copies(table) {
  const base = decodeURIComponent(location.pathname.split("/").pop() || "report.html").replace(/\.html?$/, "");
  return el(
    "p",
    { class: "copies" },
    copier("copy.latex", table.latex),
    copier("copy.markdown", table.markdown),
    button(words("save.json"), () => save(JSON.stringify(DATA, null, 1), "application/json", `${base}.json`)),
    el("span", { class: "help" }, words("files", { base })),
  );
}

function footer() {
  return el(
    "footer",
    {},
    words("footer", {
      created: DATA.created.slice(0, 10),
      folders: DATA.folders.length > 1 ? DATA.folders.map((one) => named("origin", one)).join(", ") : "",
    }),
  );
}
