// The strip of a row: its mean with the interval, its runs, and the default that it was tuned from.
const STRIP_HEIGHT = 22;

function stripWidth() {
  return window.innerWidth > 720 ? 210 : 84;
}

/** One axis for all strips. */
function stripScale(table) {
  const found = table.rows
    .map((row) => value(table, row, state.group, state.metric))
    .filter((one) => one.mean !== null);
  if (!found.length) return { x: () => 0, low: 0, high: 1 };
  const [low, high] = extent(found.flatMap(({ mean, half }) => [Math.max(0, mean - (half ?? 0)), mean + (half ?? 0)]));
  return { x: linear([low, high], [4, stripWidth() - 4]), low, high };
}

function stripCell(table, row, { x, low }) {
  const cell = el("td", { class: "strip" });
  const { mean, half, runs } = value(table, row, state.group, state.metric);
  if (mean === null) return cell;
  const middle = STRIP_HEIGHT / 2;
  const before = table.rows.find((other) => other.name === row.untuned);
  const old = before ? value(table, before, state.group, state.metric).mean : null;
  const marks = [];
  if (old !== null) {
    marks.push(
      svg("line", { class: "connector", x1: x(old), x2: x(mean), y1: middle, y2: middle }),
      svg("circle", { class: "before", cx: x(old), cy: middle, r: 3 }),
    );
  }
  if (half !== null)
    marks.push(
      svg("line", { class: "whisker", x1: x(Math.max(low, mean - half)), x2: x(mean + half), y1: middle, y2: middle }),
    );
  if (state.seeds)
    marks.push(
      ...runs.map((one) => svg("line", { class: "seed", x1: x(one), x2: x(one), y1: middle - 7, y2: middle + 7 })),
    );
  marks.push(svg("circle", { class: "point", cx: x(mean), cy: middle, r: 3.5 }));
  cell.append(svg("svg", { width: stripWidth(), height: STRIP_HEIGHT, "aria-hidden": "true" }, marks));
  return cell;
}

/** Ticks, and a hollow diamond for each figure of others within the axis. */
function stripAxis(table, { x, low, high }) {
  const marks = ticks(low, high, stripWidth() / 50).map((one) => [
    svg("line", { class: "grid", x1: x(one), x2: x(one), y1: 12, y2: 16 }),
    svg("text", { class: "tick", x: x(one), y: 10, "text-anchor": "middle" }, tick(one)),
  ]);
  const others = state.group === "all" ? table.references.filter((one) => one.is_reached) : [];
  for (const one of others) {
    const mean = one.means[state.metric];
    if (!(mean >= low && mean <= high)) continue;
    marks.push(
      mark(x(mean), 20, 3, { class: "ghost" }, svg("title", {}, `${one.model}, ${one.source}: ${number(mean)}`)),
    );
  }
  return svg(
    "svg",
    { width: stripWidth(), height: others.length ? 26 : 16, "aria-hidden": "true", class: "strip-axis" },
    marks.flat(),
  );
}
