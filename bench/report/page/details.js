// What a row holds beside its place in the table: every metric of every group, and where it comes from.
function detailsRow(table, row, span) {
  return el(
    "tr",
    { class: "details" },
    el(
      "td",
      { colspan: span },
      el(
        "div",
        { class: "inner" },
        row.means.all ? allMetrics(table, row) : null,
        failuresOf(row),
        provenance(table, row),
      ),
    ),
  );
}

function allMetrics(table, row) {
  const heads = table.groups.map((group) =>
    el("th", { scope: "col" }, named("group", group.name), el("br"), el("small", {}, `n = ${amount(group.n)}`)),
  );
  const lines = table.metrics.map((metric) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, metric),
      table.groups.map((group) => {
        const { mean, half } = value(table, row, group.name, metric);
        return el(
          "td",
          { class: "number" },
          number(mean),
          half === null ? "" : el("span", { class: "half" }, ` ±${number(half)}`),
        );
      }),
    ),
  );
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": words("details.metrics", { name: row.name }) },
    el(
      "table",
      {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, words("column.metric")), heads)),
      el("tbody", {}, lines),
    ),
  );
}

function failuresOf(row) {
  return row.failures.map((one) =>
    el(
      "div",
      { class: "failure" },
      el("p", {}, el("b", {}, name(one.run)), ": ", el("bdi", {}, one.reason)),
      one.log.length ? el("pre", { tabindex: "0" }, one.log.join("\n")) : null,
    ),
  );
}

/** A value of a config as text. */
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function pairsOf(record) {
  return Object.entries(record)
    .map(([key, one]) => `${key} ${shown(one)}`)
    .join(", ");
}

function provenance(table, row) {
  const { source } = row;
  const environment = DATA.environments[source.environment];
  const changes = source.changes.map((one) =>
    el("li", {}, el("code", {}, one.field), ` ${shown(one.before)} → `, el("b", {}, shown(one.now))),
  );
  const runs = (row.runs[state.group] ?? [])
    .map((values, i) => `${source.runs[i]}: ${number(values[table.metrics.indexOf(state.metric)])}`)
    .join(", ");
  const facts = [
    ["details.runs", runs],
    ["details.changes", changes.length ? el("ul", {}, changes) : ""],
    ["details.config", pairsOf(source.config)],
    [
      "details.looks",
      Object.entries(row.looks)
        .map(([key, one]) => `${key} ${look(one)}`)
        .join(", "),
    ],
    ["details.facts", pairsOf(source.facts)],
    ["details.command", source.commands.map((one) => el("code", {}, one))],
    ["details.cells", source.cells.join(", ")],
    ["details.code", source.code],
    ["details.content", source.content],
    ["details.plugin", `${source.plugin}${source.git_revision ? `, git ${source.git_revision}` : ""}`],
    ["details.created", source.created.slice(0, 19)],
    ["details.hardware", `${source.device}; ${pairsOf(environment.hardware)}`],
    ["details.confinement", environment.confinement],
    ["details.packages", pairsOf(environment.packages)],
  ];
  return el(
    "dl",
    {},
    facts.filter(([, text]) => text.length !== 0).map(([key, text]) => [el("dt", {}, words(key)), el("dd", {}, text)]),
  );
}
