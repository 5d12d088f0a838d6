// Elements. A text becomes a text node, never markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Somebody's name: its direction of writing disturbs nothing around it. What tells variants apart stands back. */
function name(text) {
  const at = text.endsWith("]") || text.endsWith(")") ? text.search(/ [[(]/) : -1;
  return el(
    "bdi",
    { class: "name" },
    at < 0 ? text : [text.slice(0, at), el("span", { class: "variant" }, text.slice(at))],
  );
}

/** One choice of several: radio buttons where they are few, else a list. `options` are [value, text]. */
function choice(key, options, value, change, most = 5) {
  const label = words(key);
  if (options.length > most) {
    const items = options.map(([own, text]) => el("option", { value: own, selected: own === value }, text));
    const list = el("select", { change: (event) => change(event.target.value), "data-choice": key }, items);
    list.value = value;
    return el("label", { class: "choice" }, el("span", {}, label), list);
  }
  const buttons = options.map(([own, text]) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name: key, value: own, checked: own === value, change: () => change(own) }),
      el("span", {}, text),
    ),
  );
  return el("fieldset", { class: "choice", "data-choice": key }, el("legend", {}, label), buttons);
}

function button(text, click, attributes = {}) {
  return el("button", { type: "button", click, ...attributes }, text);
}

/** A button that puts a text into the clipboard, and says so. */
function copier(key, text) {
  const own = button(words(key), async () => {
    try {
      await navigator.clipboard.writeText(text);
      own.textContent = words("copied");
    } catch {
      save(text, "text/plain", "table.txt"); // a page that was opened as a file may not have the clipboard
    }
    setTimeout(() => (own.textContent = words(key)), 1500);
  });
  return own;
}

function save(text, type, file) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: address, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** A part of the page: its name, how to read it, and what is in it. */
function section(key, content, values = {}) {
  const id = `part-${key}`;
  return el(
    "section",
    { "aria-labelledby": id },
    el("h3", { id }, words(`${key}.title`)),
    el("p", { class: "help" }, sentence(`${key}.help`, values)),
    content,
  );
}
