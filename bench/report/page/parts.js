// Lists of users, failures and notes.
function userLists(table) {
  const found = table.lists;
  if (!found) return null;
  const user = found.users[Math.min(state.user, found.users.length - 1)];
  const options = found.users.map((one, i) => [
    String(i),
    words("lists.user", { user: one.user, n: amount(one.known) }),
  ]);
  const titles = (items) =>
    el(
      "ol",
      {},
      items.map((one) =>
        el(
          "li",
          { class: one.hit ? "hit" : null },
          el("bdi", {}, one.title),
          one.hit ? el("span", { title: words("lists.hit") }, " ●") : null,
        ),
      ),
    );
  const columnsOf = [
    el(
      "div",
      {},
      el("h4", {}, words("lists.history")),
      el(
        "ul",
        {},
        user.history.map((title) => el("li", {}, el("bdi", {}, title))),
      ),
    ),
    ...found.rows.map((row, i) => el("div", {}, el("h4", {}, name(row)), titles(user.lists[i]))),
  ];
  const choose = choice(
    "choose.user",
    options,
    String(state.user),
    (one) => change({ user: Number(one) }, ["lists"]),
    0,
  );
  return section(
    "lists",
    [
      choose,
      el(
        "div",
        {
          class: "lists",
          tabindex: "0",
          role: "region",
          "aria-label": words("table.label", { name: words("lists.title") }),
        },
        columnsOf,
      ),
    ],
    { n: found.users.length },
  );
}

/** Figures of others on the same data under the same protocol, best first, and what the rows reach of them. */
function references(table) {
  const cut = state.metric.split("@")[1];
  const metrics = MAIN.map((one) => `${one}@${cut}`).filter((one) =>
    table.references.some((other) => one in other.means),
  );
  const able = table.references.filter((one) => metrics.some((metric) => metric in one.means));
  if (!able.length) return null;
  const by = metrics.includes(state.metric) ? state.metric : metrics[0];
  able.sort((a, b) => (b.means[by] ?? 0) - (a.means[by] ?? 0));
  const heads = [words("column.model"), words("references.source"), ...metrics].map((text) =>
    el("th", { scope: "col" }, text),
  );
  const figure = (one, metric) => [
    number(one.means[metric]),
    metric in one.deviations ? el("span", { class: "half" }, ` SD ${number(one.deviations[metric])}`) : "",
  ];
  const lines = able.map((one) =>
    el(
      "tr",
      { title: one.notes.join("; ") || null, class: one.is_reached ? null : "lost" },
      el("th", { scope: "row" }, name(one.model), one.is_reached ? "" : ` (${words("references.not")})`),
      el("td", {}, el("bdi", {}, one.source)),
      metrics.map((metric) => el("td", { class: "number" }, figure(one, metric))),
    ),
  );
  const label = words("table.label", { name: words("references.title") });
  return section("references", [
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, lines)),
    ),
    el(
      "ul",
      {},
      table.reached.map((line) => el("li", {}, el("bdi", {}, line))),
    ),
  ]);
}

function failed(table) {
  const rows = table.rows.filter((row) => row.failures.length);
  return rows.length ? section("failures", rows.map(failuresOf)) : null;
}

function remarks(table) {
  const lines = [...table.notes, ...DATA.left_out.map((line) => words("left.out", { line }))];
  if (!lines.length) return null;
  const list = el(
    "ul",
    {},
    lines.map((line) => el("li", {}, el("bdi", {}, line))),
  );
  return section(
    "notes",
    lines.length > 8 ? el("details", {}, el("summary", {}, words("notes.all", { n: lines.length })), list) : list,
  );
}
