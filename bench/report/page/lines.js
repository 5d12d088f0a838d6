// Quality by length of history, and tuning curves.
const HISTORY_ROWS = 6;

/** Lines with points, whiskers and names at their ends. `lines`: name, values and halves by place, one or two texts. */
function linesFigure(lines, places, { yTitle, xTitle, label, file }) {
  const [wide, high] = [width(), 320];
  const longest = Math.max(...lines.map((one) => textWidth(one.name)));
  const margin = { left: 44, right: Math.min(wide * 0.4, longest + 16), top: 22, bottom: 46 };
  const up = extent(
    lines.flatMap((one) =>
      one.values.flatMap((value, i) =>
        value === null ? [] : [value - (one.halves?.[i] ?? 0), value + (one.halves?.[i] ?? 0)],
      ),
    ),
  );
  const x = linear([0, Math.max(1, places.length - 1)], [margin.left + 14, wide - margin.right - 24]);
  const y = linear(up, [high - margin.bottom, margin.top]);
  const root = frame(wide, high, margin, { label, y, yTicks: ticks(...up, 5), yTitle, xTitle });
  const every = Math.ceil(places.length / 12);
  places.forEach(([text, below = ""], i) => {
    if (i % every) return;
    const [across, down] = [x(i), high - margin.bottom];
    root.append(svg("text", { class: "tick", x: across, y: down + 14, "text-anchor": "middle" }, text));
    root.append(svg("text", { class: "tick", x: across, y: down + 27, "text-anchor": "middle" }, below));
  });
  const ends = apart(
    lines.map((one) => y(one.values.findLast((value) => value !== null) ?? up[0])),
    13,
    [margin.top, high - margin.bottom],
  );
  lines.forEach((one, kind) => {
    const group = svg("g", { class: `line colour-${kind % COLOURS}` }, svg("title", {}, one.name));
    const known = one.values.map((value, i) => [i, value]).filter(([, value]) => value !== null);
    const shift = one.halves ? (kind - (lines.length - 1) / 2) * Math.min(4, 40 / lines.length) : 0;
    group.append(svg("polyline", { points: known.map(([i, value]) => `${x(i) + shift},${y(value)}`).join(" ") }));
    for (const [i, value] of known) {
      const half = one.halves?.[i];
      if (half)
        group.append(
          svg("line", { class: "band", x1: x(i) + shift, x2: x(i) + shift, y1: y(value - half), y2: y(value + half) }),
        );
      if (one.halves) group.append(mark(x(i) + shift, y(value), kind, { class: "dot" }));
    }
    group.append(
      svg("text", { class: "label", x: wide - margin.right, y: ends[kind] + 4 }, cropped(one.name, margin.right - 2)),
    );
    root.append(group);
  });
  return figure(root, file);
}

function history(table) {
  const groups = table.by_history.map((one) => table.groups.find((group) => group.name === one));
  if (groups.length < 2) return null;
  const able = table.rows.filter((row) =>
    groups.some((group) => value(table, row, group.name, state.metric).mean !== null),
  );
  const chosen = state.lines.length
    ? able.filter((row) => state.lines.includes(row.name))
    : able.slice(0, HISTORY_ROWS);
  if (!chosen.length) return null;
  const of = (row, part) => groups.map((group) => value(table, row, group.name, state.metric)[part]);
  const lines = chosen.map((row) => ({ name: row.name, values: of(row, "mean"), halves: of(row, "half") }));
  const drawn = linesFigure(
    lines,
    groups.map((group) => [group.name, `n = ${amount(group.n)}`]),
    {
      yTitle: state.metric,
      xTitle: words("history.axis"),
      label: words("history.label", { metric: state.metric }),
      file: `${table.name}-history.svg`,
    },
  );
  const boxes = able.slice(0, 40).map((row) =>
    el(
      "label",
      {},
      el("input", {
        type: "checkbox",
        checked: chosen.includes(row),
        change: (event) =>
          change(
            {
              lines: event.target.checked
                ? [...chosen.map((one) => one.name), row.name]
                : chosen.filter((one) => one !== row).map((one) => one.name),
            },
            ["history"],
          ),
      }),
      name(row.name),
    ),
  );
  return section(
    "history",
    [
      drawn,
      el("details", {}, el("summary", {}, words("history.rows")), el("div", { class: "boxes" }, boxes)),
    ],
    { least: DATA.least_users },
  );
}

function tuning(table) {
  if (!table.tuning.length) return null;
  const curves = table.tuning.filter((one) => one.best.length > 1);
  const most = Math.max(...curves.map((one) => one.best.length));
  const lines = curves.map((one) => ({ name: one.model, values: one.best }));
  const drawn = curves.length
    ? linesFigure(
        lines,
        Array.from({ length: most }, (_, i) => [String(i + 1)]),
        {
          yTitle: words("tuning.axis", { metric: curves[0].metric }),
          xTitle: words("tuning.trials"),
          label: words("tuning.label"),
          file: `${table.name}-tuning.svg`,
        },
      )
    : null;
  const heads = ["model", "trials", "seconds", "validation", "test", "best"].map((key) =>
    el("th", { scope: "col" }, words(`tuning.${key}`)),
  );
  const arrow = (pair) => (pair ? `${number(pair[0])} → ${number(pair[1])}` : "–");
  const rows = table.tuning.map((one) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, name(one.model)),
      el("td", { class: "number" }, amount(one.scores.length)),
      el("td", { class: "number" }, amount(one.seconds)),
      el("td", { class: "number" }, arrow([one.scores[0], one.best.at(-1)])),
      el("td", { class: "number" }, arrow(one.test)),
      el("td", {}, el("code", {}, pairsOf(one.options))),
    ),
  );
  const small = el(
    "div",
    {
      class: "scroll",
      tabindex: "0",
      role: "region",
      "aria-label": words("table.label", { name: words("tuning.title") }),
    },
    el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)),
  );
  return section("tuning", [drawn, small]);
}
