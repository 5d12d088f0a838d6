// The figures below the table, in order of use. Each gives a part of the page, or nothing where it has nothing to show.
const HISTORY_ROWS = 6;

function finished(table) {
  return table.rows.filter((row) => row.means[state.group]);
}

function width() {
  return Math.max(300, Math.min(900, document.getElementById("main").clientWidth));
}

/** Points of rows with a front: of those that cost less, none is as good. `rising`: whether more of x is better. */
function scatter(table, { get, xTitle, log, rising, file, label }) {
  const points = finished(table).map((row) => ({ row, across: get(row), ...value(table, row, state.group, state.metric) }))
    .filter((one) => one.mean !== null && one.across !== null && one.across !== undefined && (!log || one.across > 0));
  if (points.length < 2) return null;
  const [wide, high] = [width(), 340];
  const margin = { left: 44, right: 14, top: 22, bottom: 36 };
  const across = points.map((one) => one.across);
  const span = log ? [Math.min(...across) / 1.4, Math.max(...across) * 1.4] : extent(across);
  const up = extent(points.map((one) => one.mean), 0.08);
  const x = (log ? logarithmic : linear)(span, [margin.left, wide - margin.right]);
  const y = linear(up, [high - margin.bottom, margin.top]);
  const root = frame(wide, high, margin, { label, x, y, xTicks: log ? powers(...span) : ticks(...span, 6), yTicks: ticks(...up, 5), xTitle, yTitle: state.metric });
  const front = rising === undefined ? [] : frontOf(points, rising);
  if (front.length > 1) root.append(svg("polyline", { class: "front", points: front.map((one) => `${x(one.across)},${y(one.mean)}`).join(" ") }));
  for (const one of points) {
    const before = table.rows.find((row) => row.name === one.row.untuned);
    const from = before && points.find((other) => other.row === before);
    if (from) root.append(svg("line", { class: "connector", x1: x(from.across), y1: y(from.mean), x2: x(one.across), y2: y(one.mean) }));
  }
  const placed = [...points].sort((a, b) => front.includes(b) - front.includes(a) || b.mean - a.mean);
  for (const one of placed) {
    const told = `${one.row.name}: ${state.metric} ${number(one.mean)}, ${xTitle} ${log ? amount(one.across, 2) : look(one.across)}`;
    root.append(mark(x(one.across), y(one.mean), front.includes(one) || rising === undefined ? 0 : 3,
      { class: front.includes(one) ? "point front" : "point" }, svg("title", {}, told)));
  }
  root.append(...labels(placed.map((one) => ({ x: x(one.across), y: y(one.mean), text: one.row.name })), { width: wide }));
  return figure(root, file);
}

function frontOf(points, rising) {
  const order = [...points].sort((a, b) => (rising ? b.across - a.across : a.across - b.across) || b.mean - a.mean);
  const front = [];
  for (const one of order) if (!front.length || one.mean > front.at(-1).mean) front.push(one);
  return front;
}

function costs(table) {
  const kinds = ["fit", "recommend", "memory"].map((key) => [key, words(`cost.${key}`)]);
  const drawn = scatter(table, { get: (row) => row.costs[state.cost], xTitle: words(`cost.${state.cost}`), log: true, rising: false,
    file: `${table.name}-cost.svg`, label: words("cost.label", { metric: state.metric, cost: words(`cost.${state.cost}`) }) });
  return drawn && section("cost", [choice("choose.cost", kinds, state.cost, (cost) => change({ cost }, ["cost"])), drawn]);
}

function looks(table) {
  const cut = state.metric.split("@")[1];
  const kinds = table.looks.filter((one) => one.endsWith(`@${cut}`)).map((one) => one.split("@")[0]);
  if (!kinds.length) return null;
  const kind = kinds.includes(state.look) ? state.look : kinds[0];
  const drawn = scatter(table, { get: (row) => row.looks[`${kind}@${cut}`], xTitle: named("look", kind), log: false,
    file: `${table.name}-${kind}.svg`, label: words("looks.label", { metric: state.metric, look: named("look", kind) }) });
  const choose = choice("choose.look", kinds.map((one) => [one, named("look", one)]), kind, (look) => change({ look }, ["looks"]));
  return drawn && section("looks", [choose, el("p", { class: "help" }, named("meaning", kind)), drawn]);
}

/** Differences of the others to one row, b − a, from pairs of the group. */
function differences(table, against) {
  const at = table.rows.findIndex((row) => row.name === against);
  return (table.pairs[state.group] ?? []).filter((one) => one.a === at || one.b === at).map((one) => {
    const sign = one.b === at ? 1 : -1;
    return { row: table.rows[one.b === at ? one.a : one.b], difference: sign * one.difference, half: one.half_width, p: one.p };
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
  const span = extent([0, ...found.flatMap(({ difference, half }) => [difference - (half ?? 0), difference + (half ?? 0)])]);
  const high = top + found.length * line + 34;
  const x = linear(span, [left, wide - right]);
  const root = frame(wide, high, { left, right, top, bottom: 34 }, {
    label: words("forest.label", { name: against, metric: table.first }), x, xTicks: ticks(...span, wide > 560 ? 6 : 3), xTitle: words("forest.axis", { name: against, metric: table.first }) });
  root.append(svg("line", { class: "zero", x1: x(0), x2: x(0), y1: top, y2: high - 34 }));
  found.forEach(({ row, difference, half, p }, i) => {
    const y = top + i * line + line / 2;
    const differs = p !== null && p < 0.05;
    root.append(svg("text", { class: "label", x: left - 8, y: y + 4, "text-anchor": "end" }, cropped(row.name, left - 10)));
    if (half !== null) root.append(svg("line", { class: "whisker", x1: x(difference - half), x2: x(difference + half), y1: y, y2: y }));
    root.append(mark(x(difference), y, differs ? 1 : 0, { class: differs ? "point differs" : "point open" },
      svg("title", {}, `${row.name} − ${against}: ${signed(difference)} ±${number(half)}`)));
    const text = wide > 560 ? `${signed(difference)} ±${number(half)}${differs ? " *" : ""}` : `${signed(difference)}${differs ? "*" : ""}`;
    root.append(svg("text", { class: "label number", x: wide - 2, y: y + 4, "text-anchor": "end" }, text));
  });
  const choose = choice("choose.against", rows.map((row) => [row.name, row.name]), against, (one) => change({ against: one }, ["forest"]), 0);
  return section("forest", [choose, figure(root, `${table.name}-differences.svg`)], { metric: table.first, group: named("group", state.group) });
}

function cropped(text, room) {
  if (textWidth(text) <= room) return text;
  let kept = text;
  while (kept.length > 1 && textWidth(`${kept}…`) > room) kept = kept.slice(0, -1);
  return `${kept}…`;
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
  const lines = rows.map((row, i) => el("tr", {}, el("th", { scope: "row" }, `${i + 1} `, name(row.name)),
    signs[i].map((sign, j) => el("td", { class: sign, title: sign && words(`matrix.${sign}`, { a: row.name, b: rows[j].name }) }, glyph[sign]))));
  return section("matrix", el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words("matrix.title") },
    el("table", { class: "squares" }, el("thead", {}, el("tr", {}, el("td"), heads)), el("tbody", {}, lines))), { metric: table.first, group: named("group", state.group) });
}

/** Lines with points, whiskers and names at their ends. `lines`: name, values and halves by place. */
function linesFigure(lines, places, { yTitle, xTitle, label, file }) {
  const [wide, high] = [width(), 320];
  const longest = Math.max(...lines.map((one) => textWidth(one.name)));
  const margin = { left: 44, right: Math.min(wide * 0.4, longest + 16), top: 22, bottom: 40 };
  const up = extent(lines.flatMap((one) => one.values.flatMap((value, i) => value === null ? [] : [value - (one.halves?.[i] ?? 0), value + (one.halves?.[i] ?? 0)])));
  const x = linear([0, Math.max(1, places.length - 1)], [margin.left + 14, wide - margin.right - 24]);
  const y = linear(up, [high - margin.bottom, margin.top]);
  const root = frame(wide, high, margin, { label, y, yTicks: ticks(...up, 5), yTitle, xTitle });
  const every = Math.ceil(places.length / 12);
  places.forEach((text, i) => i % every || root.append(svg("text", { class: "tick", x: x(i), y: high - margin.bottom + 14, "text-anchor": "middle" }, text)));
  const ends = apart(lines.map((one) => y(one.values.findLast((value) => value !== null) ?? up[0])), 13, [margin.top, high - margin.bottom]);
  lines.forEach((one, kind) => {
    const group = svg("g", { class: `line colour-${kind % COLOURS}` }, svg("title", {}, one.name));
    const known = one.values.map((value, i) => [i, value]).filter(([, value]) => value !== null);
    const shift = one.halves ? (kind - (lines.length - 1) / 2) * Math.min(4, 40 / lines.length) : 0;
    group.append(svg("polyline", { points: known.map(([i, value]) => `${x(i) + shift},${y(value)}`).join(" ") }));
    for (const [i, value] of known) {
      const half = one.halves?.[i];
      if (half) group.append(svg("line", { class: "band", x1: x(i) + shift, x2: x(i) + shift, y1: y(value - half), y2: y(value + half) }));
      if (one.halves) group.append(mark(x(i) + shift, y(value), kind, { class: "dot" }));
    }
    group.append(svg("text", { class: "label", x: wide - margin.right, y: ends[kind] + 4 }, cropped(one.name, margin.right - 2)));
    root.append(group);
  });
  return figure(root, file);
}

function history(table) {
  const groups = table.by_history.map((one) => table.groups.find((group) => group.name === one));
  if (groups.length < 2) return null;
  const able = table.rows.filter((row) => groups.some((group) => value(table, row, group.name, state.metric).mean !== null));
  const chosen = state.lines.length ? able.filter((row) => state.lines.includes(row.name)) : able.slice(0, HISTORY_ROWS);
  if (!chosen.length) return null;
  const of = (row, part) => groups.map((group) => value(table, row, group.name, state.metric)[part]);
  const lines = chosen.map((row) => ({ name: row.name, values: of(row, "mean"), halves: of(row, "half") }));
  const drawn = linesFigure(lines, groups.map((group) => `${group.name} (${amount(group.n)})`), { yTitle: state.metric, xTitle: words("history.axis"),
    label: words("history.label", { metric: state.metric }), file: `${table.name}-history.svg` });
  const boxes = able.slice(0, 40).map((row) => el("label", {}, el("input", { type: "checkbox", checked: chosen.includes(row),
    change: (event) => change({ lines: event.target.checked ? [...chosen.map((one) => one.name), row.name] : chosen.filter((one) => one !== row).map((one) => one.name) }, ["history"]) }), name(row.name)));
  return section("history", [drawn, el("details", {}, el("summary", {}, words("history.rows")), el("div", { class: "boxes" }, boxes))]);
}

function tuning(table) {
  if (!table.tuning.length) return null;
  const curves = table.tuning.filter((one) => one.best.length > 1);
  const most = Math.max(...curves.map((one) => one.best.length));
  const lines = curves.map((one) => ({ name: one.model, values: one.best }));
  const drawn = curves.length ? linesFigure(lines, Array.from({ length: most }, (_, i) => String(i + 1)), { yTitle: words("tuning.axis", { metric: curves[0].metric }),
    xTitle: words("tuning.trials"), label: words("tuning.label"), file: `${table.name}-tuning.svg` }) : null;
  const heads = ["model", "trials", "seconds", "validation", "test", "best"].map((key) => el("th", { scope: "col" }, words(`tuning.${key}`)));
  const arrow = (pair) => pair ? `${number(pair[0])} → ${number(pair[1])}` : "–";
  const rows = table.tuning.map((one) => el("tr", {}, el("th", { scope: "row" }, name(one.model)), el("td", { class: "number" }, amount(one.scores.length)),
    el("td", { class: "number" }, amount(one.seconds)), el("td", { class: "number" }, arrow([one.scores[0], one.best.at(-1)])), el("td", { class: "number" }, arrow(one.test)),
    el("td", {}, el("code", {}, pairsOf(one.options)))));
  const small = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": words("tuning.title") },
    el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows)));
  return section("tuning", [drawn, small]);
}

function userLists(table) {
  const found = table.lists;
  if (!found) return null;
  const user = found.users[Math.min(state.user, found.users.length - 1)];
  const options = found.users.map((one, i) => [String(i), words("lists.user", { user: one.user, n: amount(one.known) })]);
  const titles = (items) => el("ol", {}, items.map((one) => el("li", { class: one.hit ? "hit" : null }, el("bdi", {}, one.title), one.hit ? el("span", { title: words("lists.hit") }, " ●") : null)));
  const columnsOf = [
    el("div", {}, el("h4", {}, words("lists.history")), el("ul", {}, user.history.map((title) => el("li", {}, el("bdi", {}, title))))),
    ...found.rows.map((row, i) => el("div", {}, el("h4", {}, name(row)), titles(user.lists[i]))),
  ];
  const choose = choice("choose.user", options, String(state.user), (one) => change({ user: Number(one) }, ["lists"]), 0);
  return section("lists", [choose, el("div", { class: "lists", tabindex: "0", role: "region", "aria-label": words("lists.title") }, columnsOf)], { n: found.users.length });
}

function failed(table) {
  const rows = table.rows.filter((row) => row.failures.length);
  return rows.length ? section("failures", rows.map(failuresOf)) : null;
}

function remarks(table) {
  const lines = [...table.notes, ...DATA.left_out.map((line) => words("left.out", { line }))];
  if (!lines.length) return null;
  const list = el("ul", {}, lines.map((line) => el("li", {}, el("bdi", {}, line))));
  return section("notes", lines.length > 8 ? el("details", {}, el("summary", {}, words("notes.all", { n: lines.length })), list) : list);
}
