// Scales, axes and marks.
const pen = document.createElement("canvas").getContext("2d");
const COLOURS = 7;
const SHAPES = ["circle", "square", "triangle", "diamond"];

function textWidth(text) {
  pen.font = "11px sans-serif";
  return pen.measureText(text).width;
}

function width() {
  return Math.max(300, Math.min(900, document.getElementById("main").clientWidth));
}

/** A text that fits into so many pixels. */
function cropped(text, room) {
  if (textWidth(text) <= room) return text;
  let kept = text;
  while (kept.length > 1 && textWidth(`${kept}…`) > room) kept = kept.slice(0, -1);
  return `${kept}…`;
}

function linear([low, high], [from, to]) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

function logarithmic([low, high], range) {
  const inner = linear([Math.log10(low), Math.log10(high)], range);
  return (value) => inner(Math.log10(value));
}

/** Round numbers within an interval, about n of them. */
function ticks(low, high, n) {
  const raw = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= raw);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high + 1e-12; i++) found.push(+(i * step).toPrecision(12));
  return found;
}

function powers(low, high) {
  const found = [];
  for (let i = Math.floor(Math.log10(low)); i <= Math.ceil(Math.log10(high)); i++) found.push(10 ** i);
  return found;
}

/** The interval of some numbers with a margin. */
function extent(values, margin = 0.04) {
  const known = values.filter((value) => Number.isFinite(value));
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const pad = (high - low || Math.abs(high) || 1) * margin;
  return [low - pad, high + pad];
}

function tick(value) {
  const text = Math.abs(value) >= 1000 ? amount(value) : String(+value.toPrecision(6));
  return text.replace(/^(-?)0\./, "$1.").replace("-", "−");
}

/** An empty figure with axes: its element, its scales, and where it is drawn. */
function frame(width, height, margin, { label, x, y, xTicks, yTicks, xTitle, yTitle }) {
  const root = svg("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
    class: "figure",
  });
  const [bottom, right] = [height - margin.bottom, width - margin.right];
  for (const value of xTicks ?? []) {
    const at = x(value);
    if (at < margin.left - 1 || at > right + 1) continue;
    root.append(
      svg("line", { class: "grid", x1: at, x2: at, y1: margin.top, y2: bottom }),
      svg("text", { class: "tick", x: at, y: bottom + 14, "text-anchor": "middle" }, tick(value)),
    );
  }
  for (const value of yTicks ?? []) {
    const at = y(value);
    root.append(
      svg("line", { class: "grid", x1: margin.left, x2: right, y1: at, y2: at }),
      svg("text", { class: "tick", x: margin.left - 6, y: at + 4, "text-anchor": "end" }, tick(value)),
    );
  }
  if (xTitle) root.append(svg("text", { class: "axis", x: right, y: height - 2, "text-anchor": "end" }, xTitle));
  if (yTitle) root.append(svg("text", { class: "axis", x: 0, y: 10 }, yTitle));
  return root;
}

/** A mark of one of four shapes, so that colour is never alone. */
function mark(x, y, kind, attributes, ...children) {
  const size = 4.5;
  const shape = SHAPES[kind % SHAPES.length];
  if (shape === "circle") return svg("circle", { cx: x, cy: y, r: size, ...attributes }, children);
  const d = {
    square: `M${x - 4} ${y - 4}h8v8h-8z`,
    triangle: `M${x} ${y - 5}l5 9h-10z`,
    diamond: `M${x} ${y - 5.5}l5 5.5l-5 5.5l-5 -5.5z`,
  }[shape];
  return svg("path", { d, ...attributes }, children);
}

/** Names beside points, each where there is room, none where there is not: the point tells its name itself. */
function labels(points, box) {
  const taken = points.map((one) => [one.x - 5, one.y - 5, one.x + 5, one.y + 5]);
  const clear = (own) =>
    own[0] >= 0 &&
    own[2] <= box.width &&
    own[1] >= 0 &&
    taken.every((other) => own[2] < other[0] || own[0] > other[2] || own[3] < other[1] || own[1] > other[3]);
  return points.flatMap(({ x, y, text }) => {
    const wide = textWidth(text) + 2;
    for (const [dx, dy, anchor] of [
      [8, 4, "start"],
      [-8, 4, "end"],
      [0, -9, "middle"],
      [0, 17, "middle"],
    ]) {
      const left = x + dx - (anchor === "end" ? wide : anchor === "middle" ? wide / 2 : 0);
      const own = [left, y + dy - 10, left + wide, y + dy + 2];
      if (!clear(own)) continue;
      taken.push(own);
      return [svg("text", { class: "label", x: x + dx, y: y + dy, "text-anchor": anchor, direction: "ltr" }, text)];
    }
    return [];
  });
}

/** Heights of labels at the right end of lines, moved apart. */
function apart(heights, least, [top, bottom]) {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]);
  const found = [...heights];
  order.forEach((own, i) => {
    if (i) found[own] = Math.max(found[own], found[order[i - 1]] + least);
  });
  let limit = bottom;
  for (const own of order.reverse()) {
    found[own] = Math.max(top, Math.min(found[own], limit));
    limit = found[own] - least;
  }
  return found;
}

/** The figure with a button that saves it as a file for a paper. */
function figure(drawing, file) {
  return el(
    "figure",
    {},
    drawing,
    button(words("save.svg"), () => saveFigure(drawing, file), { class: "save" }),
  );
}

function saveFigure(drawing, file) {
  const copy = drawing.cloneNode(true);
  const [from, to] = [drawing, copy].map((root) => [root, ...root.querySelectorAll("*")]);
  const kept = [
    "fill",
    "fill-opacity",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-opacity",
    "font-size",
    "font-family",
    "font-weight",
    "opacity",
  ];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const key of kept) to[i].setAttribute(key, style.getPropertyValue(key));
  });
  copy.setAttribute("xmlns", SVG);
  save(new XMLSerializer().serializeToString(copy), "image/svg+xml", file);
}
