// What the table says, in words.
function introduction(table) {
  const { split, history: known, exclude, candidates } = table.protocol;
  const ratios = (split.ratios ?? split.user_ratios ?? []).join(":");
  const kinds = { ratio: `ratio.${split.order}`, "leave-out": split.k === 1 ? "leave-one-out" : "leave-out" };
  const kind = kinds[split.kind] ?? split.kind;
  const said = [
    words(`split.${kind}`, { ...split, ratios, share: Math.round(100 * (split.fold_in_ratio ?? 0)) }),
    words(`known.${known}`),
    words(`exclude.${exclude}`),
    words(`candidates.${candidates}`),
  ].join(words("stop"));
  return [
    el("h2", {}, name(table.dataset), el("small", {}, ` ${table.protocol.name}`)),
    el(
      "p",
      { class: "protocol", title: `${table.rules}; ${table.fingerprint}` },
      said,
      " ",
      el("span", { class: "print" }, words("fingerprint", { text: table.fingerprint.slice(0, 12) })),
    ),
    el("div", { id: "verdict", "aria-live": "polite" }, verdict(table)),
  ];
}

/** What the table says, in a sentence or two. */
function verdict(table) {
  const own = judgement(table, "all");
  const tail = table.groups.find((group) => group.name === "long tail");
  const level = (group) => table.rows.filter((row) => row.ranks[group]?.[0] === 1).map((row) => row.name);
  const same = tail && level("all").length && String(level("all")) === String(level("long tail"));
  const also = tail && (same ? words("verdict.same") : judgement(table, "long tail"));
  const all = table.groups.find((group) => group.name === "all");
  return [
    el("p", { class: "verdict" }, own),
    also
      ? el("p", { class: "verdict second" }, sentence("verdict.tail", { n: amount(tail.n), all: amount(all.n) }), also)
      : null,
    table.detectable === null ? null : el("p", { class: "help" }, detectable(table)),
  ];
}

function detectable({ detectable: median, detectable_least: least }) {
  const key = median === least ? "detectable.one" : "detectable";
  return words(key, { value: number(median), least: number(least) });
}

function judgement(table, group) {
  const judged = table.rows.filter((row) => row.ranks[group]);
  const strong = (row) => el("b", {}, name(row.name));
  const metric = table.first;
  if (judged.length < 2) {
    const at = table.metrics.indexOf(metric);
    const [best] = table.rows
      .filter((row) => row.means[group]?.[at] != null)
      .sort((a, b) => b.means[group][at] - a.means[group][at]);
    if (!best) return words("verdict.nothing");
    const told = { row: strong(best), metric, value: number(best.means[group][at]), least: DATA.least_users };
    const few = table.groups.find((one) => one.name === group).n < DATA.least_users;
    return few ? sentence("verdict.few", told) : sentence("verdict.unjudged", told);
  }
  const level = judged.filter((row) => row.ranks[group][0] === 1);
  if (level.length === 1) return sentence("verdict.one", { row: strong(level[0]), n: judged.length - 1, metric });
  if (level.length === judged.length) return sentence("verdict.all", { n: level.length, metric });
  const few = level.slice(0, 6).map(strong);
  const rows = level.length > 6 ? [...few, words("more", { n: level.length - 6 })] : few;
  return sentence("verdict.level", { rows: listed(rows), n: judged.length, metric });
}
