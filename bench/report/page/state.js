// What is chosen, and the address that says so.
const DEFAULTS = {
  table: "",
  group: "all",
  metric: "",
  sort: "value",
  reversed: false,
  seeds: false,
  all: false,
  cost: "fit",
  look: "coverage",
  against: "",
  lines: [],
  user: 0,
  language: "",
  theme: "auto",
};
const state = { ...DEFAULTS, ...fromAddress(), open: new Set() };

/** What the address says, so that a view can be linked. */
function fromAddress() {
  const found = {};
  for (const [key, text] of new URLSearchParams(location.hash.slice(1))) {
    if (!Object.hasOwn(DEFAULTS, key)) continue;
    const usual = DEFAULTS[key];
    found[key] = Array.isArray(usual)
      ? text.split("\n")
      : typeof usual === "boolean"
        ? text === "true"
        : typeof usual === "number"
          ? Number(text) || 0
          : text;
  }
  return found;
}

function toAddress() {
  const changed = Object.keys(DEFAULTS).filter(
    (key) => String(state[key]) !== String(DEFAULTS[key]) && state[key] !== "",
  );
  const text = new URLSearchParams(
    changed.map((key) => [key, Array.isArray(state[key]) ? state[key].join("\n") : state[key]]),
  ).toString();
  replaceAddress(text);
}

function replaceAddress(text) {
  try {
    window.history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  } catch (error) {
    if (error.name !== "SecurityError") throw error; // a page in a sandbox has no address of its own
  }
}
