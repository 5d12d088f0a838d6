// Quality against cost, and against what lists are like.
function finished(table) {
  return table.rows.filter((row) => row.means[state.group]);
}

/** Points of rows with a front: of those that cost less, none is as good. `rising`: whether more of x is better. */
function scatter(table, { get, xTitle, log, rising, file, label }) {
  const points = finished(table)
    .map((row) => ({ row, across: get(row), ...value(table, row, state.group, state.metric) }))
    .filter((one) => one.mean !== null && one.across !== null && one.across !== undefined && (!log || one.across > 0));
  if (points.length < 2) return null;
  const [wide, high] = [width(), 340];
  const margin = { left: 44, right: 14, top: 22, bottom: 36 };
  const across = points.map((one) => one.across);
  const span = log ? [Math.min(...across) / 1.4, Math.max(...across) * 1.4] : extent(across);
  const up = extent(
    points.map((one) => one.mean),
    0.08,
  );
  const x = (log ? logarithmic : linear)(span, [margin.left, wide - margin.right]);
  const y = linear(up, [high - margin.bottom, margin.top]);
  const root = frame(wide, high, margin, {
    label,
    x,
    y,
    xTicks: log ? powers(...span) : ticks(...span, 6),
    yTicks: ticks(...up, 5),
    xTitle,
    yTitle: state.metric,
  });
  const front = rising === undefined ? [] : frontOf(points, rising);
  if (front.length > 1)
    root.append(
      svg("polyline", { class: "front", points: front.map((one) => `${x(one.across)},${y(one.mean)}`).join(" ") }),
    );
  for (const one of points) {
    const before = table.rows.find((row) => row.name === one.row.untuned);
    const from = before && points.find((other) => other.row === before);
    if (from)
      root.append(
        svg("line", { class: "connector", x1: x(from.across), y1: y(from.mean), x2: x(one.across), y2: y(one.mean) }),
      );
  }
  const placed = [...points].sort((a, b) => front.includes(b) - front.includes(a) || b.mean - a.mean);
  for (const one of placed) {
    const told = `${one.row.name}: ${state.metric} ${number(one.mean)}, ${xTitle} ${log ? amount(one.across, 2) : look(one.across)}`;
    root.append(
      mark(
        x(one.across),
        y(one.mean),
        front.includes(one) || rising === undefined ? 0 : 3,
        { class: front.includes(one) ? "point front" : "point" },
        svg("title", {}, told),
      ),
    );
  }
  root.append(
    ...labels(
      placed.map((one) => ({ x: x(one.across), y: y(one.mean), text: one.row.name })),
      { width: wide },
    ),
  );
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
  const drawn = scatter(table, {
    get: (row) => row.costs[state.cost],
    xTitle: words(`cost.${state.cost}`),
    log: true,
    rising: false,
    file: `${table.name}-cost.svg`,
    label: words("cost.label", { metric: state.metric, cost: words(`cost.${state.cost}`) }),
  });
  return (
    drawn && section("cost", [choice("choose.cost", kinds, state.cost, (cost) => change({ cost }, ["cost"])), drawn])
  );
}

function looks(table) {
  const cut = state.metric.split("@")[1];
  const kinds = table.looks.filter((one) => one.endsWith(`@${cut}`)).map((one) => one.split("@")[0]);
  if (!kinds.length) return null;
  const kind = kinds.includes(state.look) ? state.look : kinds[0];
  const drawn = scatter(table, {
    get: (row) => row.looks[`${kind}@${cut}`],
    xTitle: named("look", kind),
    log: false,
    file: `${table.name}-${kind}.svg`,
    label: words("looks.label", { metric: state.metric, look: named("look", kind) }),
  });
  const choose = choice(
    "choose.look",
    kinds.map((one) => [one, named("look", one)]),
    kind,
    (look) => change({ look }, ["looks"]),
  );
  return drawn && section("looks", [choose, el("p", { class: "help" }, named("meaning", kind)), drawn]);
}
