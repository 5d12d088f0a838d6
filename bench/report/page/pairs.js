// Paired differences of rows, and which of them can be told apart.
/** Differences of the others to one row, b − a, from pairs of the group. */
function differences(table, against) {
  const at = table.rows.findIndex((row) => row.name === against);
  return (table.pairs[state.group] ?? [])
    .filter((one) => one.a === at || one.b === at)
    .map((one) => {
      const sign = one.b === at ? 1 : -1;
      return {
        row: table.rows[one.b === at ? one.a : one.b],
        difference: sign * one.difference,
        half: one.half_width,
        p: one.p,
      };
    });
}

function pairedRows(table) {
  const numbers = new Set((table.pairs[state.group] ?? []).flatMap((one) => [one.a, one.b]));
  return table.rows.filter((_, i) => numbers.has(i));
}

function forest(table) {
  const rows = pairedRows(table);
  if (rows.length < 2) return null;
  const against = rows.some((row) => row.name === state.against) ? state.against : rows[0].name;
  const found = differences(table, against).sort((a, b) => b.difference - a.difference);
  const wide = width();
  const left = Math.min(wide * 0.38, Math.max(...found.map((one) => textWidth(one.row.name))) + 12);
  const [right, line, top] = [wide > 560 ? 160 : 56, 20, 8];
  const span = extent([
    0,
    ...found.flatMap(({ difference, half }) => [difference - (half ?? 0), difference + (half ?? 0)]),
  ]);
  const high = top + found.length * line + 34;
  const x = linear(span, [left, wide - right]);
  const root = frame(
    wide,
    high,
    { left, right, top, bottom: 34 },
    {
      label: words("forest.label", { name: against, metric: table.first }),
      x,
      xTicks: ticks(...span, wide > 560 ? 6 : 3),
      xTitle: words("forest.axis", { name: against, metric: table.first }),
    },
  );
  root.append(svg("line", { class: "zero", x1: x(0), x2: x(0), y1: top, y2: high - 34 }));
  found.forEach(({ row, difference, half, p }, i) => {
    const y = top + i * line + line / 2;
    const differs = p !== null && p < 0.05;
    root.append(
      svg("text", { class: "label", x: left - 8, y: y + 4, "text-anchor": "end" }, cropped(row.name, left - 10)),
    );
    if (half !== null)
      root.append(svg("line", { class: "whisker", x1: x(difference - half), x2: x(difference + half), y1: y, y2: y }));
    root.append(
      mark(
        x(difference),
        y,
        differs ? 1 : 0,
        { class: differs ? "point differs" : "point open" },
        svg("title", {}, `${row.name} − ${against}: ${signed(difference)} ±${number(half)}`),
      ),
    );
    const text =
      wide > 560
        ? `${signed(difference)} ±${number(half)}${differs ? " *" : ""}`
        : `${signed(difference)}${differs ? "*" : ""}`;
    root.append(svg("text", { class: "label number", x: wide - 2, y: y + 4, "text-anchor": "end" }, text));
  });
  const choose = choice(
    "choose.against",
    rows.map((row) => [row.name, row.name]),
    against,
    (one) => change({ against: one }, ["forest"]),
    0,
  );
  return section("forest", [choose, figure(root, `${table.name}-differences.svg`)], {
    metric: table.first,
    group: named("group", state.group),
  });
}

/** Which rows are told apart: a square for each pair. */
function matrix(table) {
  const rows = pairedRows(table);
  if (rows.length < 3) return null;
  const number = new Map(rows.map((row, i) => [table.rows.indexOf(row), i]));
  const signs = rows.map(() => rows.map(() => ""));
  for (const { a, b, difference, p } of table.pairs[state.group]) {
    const above = p === null || p >= 0.05 ? "level" : difference > 0 ? "above" : "below";
    signs[number.get(a)][number.get(b)] = above;
    signs[number.get(b)][number.get(a)] = { level: "level", above: "below", below: "above" }[above];
  }
  const glyph = { level: "=", above: "▲", below: "▽", "": "" };
  const heads = rows.map((row, i) => el("th", { scope: "col" }, el("abbr", { title: row.name }, String(i + 1))));
  const lines = rows.map((row, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `${i + 1} `, name(row.name)),
      signs[i].map((sign, j) =>
        el(
          "td",
          { class: sign, title: sign && words(`matrix.${sign}`, { a: row.name, b: rows[j].name }) },
          glyph[sign],
        ),
      ),
    ),
  );
  return section(
    "matrix",
    el(
      "div",
      {
        class: "scroll",
        tabindex: "0",
        role: "region",
        "aria-label": words("table.label", { name: words("matrix.title") }),
      },
      el("table", { class: "squares" }, el("thead", {}, el("tr", {}, el("td"), heads)), el("tbody", {}, lines)),
    ),
    { metric: table.first, group: named("group", state.group) },
  );
}
