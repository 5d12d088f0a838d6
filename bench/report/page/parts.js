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
