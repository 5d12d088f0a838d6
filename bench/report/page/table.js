// The main table: rows with intervals, ranks, other metrics, groups and costs.
const MAIN = ["ndcg", "recall", "mrr", "hit"];
const BROAD = ["all", "long tail", "head"];
const MOST_ROWS = 60;

/** Mean, half-width and values of the runs of a row. */
function value(table, row, group, metric) {
  const at = table.metrics.indexOf(metric);
  return {
    mean: row.means[group]?.[at] ?? null,
    half: row.half_widths[group]?.[at] ?? null,
    runs: (row.runs[group] ?? []).map((one) => one[at]),
  };
}

function isLevel(table, row) {
  return state.metric === table.first && row.ranks[state.group]?.[0] === 1;
}

function ranked(row) {
  const [first, last] = row.ranks[state.group] ?? [];
  return first === undefined ? "" : first === last ? `${first}` : `${first}–${last}`;
}

/** Columns: key, head, whether it is left out on a phone, what it sorts by, and the content of its cell. */
function columns(table, scale) {
  const cut = state.metric.split("@")[1];
  const judged = state.metric === table.first && table.rows.some((row) => row.ranks[state.group]);
  const others = MAIN.map((one) => `${one}@${cut}`).filter(
    (one) => one !== state.metric && table.metrics.includes(one),
  );
  const groups = BROAD.filter((one) => one !== state.group && table.groups.some((group) => group.name === one));
  const plainColumn = (key, head, get, show, title) => ({
    key,
    head,
    title,
    more: true,
    get,
    cell: (row) => el("td", { class: "more number" }, show(get(row))),
  });
  const cost = (key, decimals) =>
    plainColumn(
      key,
      words(`column.${key}`),
      (row) => row.costs[key] ?? null,
      (one) => amount(one, decimals),
      words(`cost.${key}`),
    );
  const metric = (group, one, head) =>
    plainColumn(`${group}/${one}`, head, (row) => value(table, row, group, one).mean, number);
  const rank = {
    key: "rank",
    head: words("column.rank"),
    title: words("rank.title"),
    up: true,
    get: (row) => row.ranks[state.group]?.[0] ?? null,
    cell: (row) => rankCell(table, row),
  };
  const own = (row) => value(table, row, state.group, state.metric).mean;
  return [
    ...(judged ? [rank] : []),
    {
      key: "model",
      head: words("column.model"),
      up: true,
      get: (row) => row.name,
      cell: (row) => nameCell(table, row),
    },
    {
      key: "value",
      head: [state.metric, " ", named("group", state.group)],
      get: own,
      wide: true,
      cell: (row) => stripCell(table, row, scale),
    },
    {
      key: "number",
      head: "± 95 %",
      get: (row) => value(table, row, state.group, state.metric).half,
      up: true,
      cell: (row) => numberCell(table, row),
    },
    ...groups.map((group) => metric(group, state.metric, named("group", group))),
    ...others.map((one) => metric(state.group, one, one)),
    plainColumn(
      "seeds",
      words("column.seeds"),
      (row) => row.seeds,
      (one) => one + "",
    ),
    cost("fit", 1),
    cost("recommend", 1),
    cost("memory", 0),
  ];
}

function rankCell(table, row) {
  const level = isLevel(table, row);
  return el(
    "td",
    { class: "number" },
    level ? el("span", { class: "equals", title: words("level") }, "= ") : null,
    ranked(row),
  );
}

function nameCell(table, row) {
  const toggle = button([el("span", { class: "twist", "aria-hidden": "true" }), name(row.name)], toggleDetails, {
    "aria-expanded": String(state.open.has(row.name)),
    class: "row-name",
    title: words("details.open"),
  });
  function toggleDetails() {
    const line = toggle.closest("tr");
    if (state.open.delete(row.name)) line.nextSibling.remove();
    else {
      state.open.add(row.name);
      line.after(detailsRow(table, row, line.cells.length));
    }
    toggle.setAttribute("aria-expanded", String(state.open.has(row.name)));
  }
  const marks =
    DATA.folders.length > 1
      ? row.origins.map((one) => el("span", { class: one === "own" ? "origin own" : "origin" }, named("origin", one)))
      : [];
  return el("th", { scope: "row" }, toggle, marks);
}

/** A number with its interval; where all runs of the row failed, that. */
function numberCell(table, row) {
  const { mean, half } = value(table, row, state.group, state.metric);
  if (mean === null) return el("td", { class: "number failed" }, row.failures.length ? words("failed") : "–");
  return el(
    "td",
    { class: "number" },
    el("b", {}, number(mean)),
    half === null ? "" : el("span", { class: "half" }, ` ±${number(half)}`),
  );
}

/** Rows by a column, those without a value last. */
function sorted(table, shown) {
  const column = shown.find((one) => one.key === state.sort) ?? shown.find((one) => one.key === "value");
  const sign = (column.up ? 1 : -1) * (state.reversed ? -1 : 1);
  const keyed = table.rows.map((row) => [column.get(row), row]);
  const compare = ([a], [b]) =>
    a === null || b === null
      ? (a === null) - (b === null)
      : sign * (typeof a === "string" ? a.localeCompare(b) : a - b);
  return keyed.sort(compare).map(([, row]) => row);
}

function drawTable(table) {
  const scale = stripScale(table);
  const shown = columns(table, scale);
  const [head, body, more] = [el("tr"), el("tbody"), el("p")];
  const lines = new Map(); // each row is drawn once, however often they are sorted
  const line = (row) => {
    if (!lines.has(row))
      lines.set(
        row,
        el(
          "tr",
          { class: rowClass(table, row) },
          shown.map((one) => one.cell(row)),
        ),
      );
    return [lines.get(row), state.open.has(row.name) ? detailsRow(table, row, shown.length) : null];
  };
  const arrange = () => {
    const rows = sorted(table, shown);
    const few = state.all ? rows : rows.slice(0, MOST_ROWS);
    head.replaceChildren(...shown.map((one) => headCell(table, one, scale, arrange)));
    body.replaceChildren(...few.flatMap(line).filter(Boolean));
    const show = () => change({ all: true }, ["table"]);
    more.replaceChildren(few.length < rows.length ? button(words("rows.all", { n: rows.length }), show) : "");
  };
  arrange();
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": words("table.label", { name: table.name }) },
    el("table", { class: "main" }, el("thead", {}, head), body),
    more,
  );
}

function rowClass(table, row) {
  return isLevel(table, row) ? "level" : row.means.all ? null : "lost";
}

function headCell(table, column, scale, arrange) {
  const active = state.sort === column.key;
  const way = (column.up ? 1 : -1) * (state.reversed ? -1 : 1) > 0 ? "ascending" : "descending";
  const press = () => {
    change({ sort: column.key, reversed: active && !state.reversed }, []);
    arrange();
    document.querySelector(`[data-sort="${CSS.escape(column.key)}"]`).focus();
  };
  return el(
    "th",
    { scope: "col", class: column.more ? "more" : null, "aria-sort": active ? way : null },
    button(column.head, press, { title: column.title ?? null, "data-sort": column.key }),
    column.wide ? stripAxis(table, scale) : null,
  );
}
