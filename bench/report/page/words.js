// Data, words and numbers. Names, reasons and notes stay as they are in every language.
const DATA = JSON.parse(document.getElementById("data").textContent);
const WORDS = JSON.parse(document.getElementById("words").textContent);

/** The words of a key, with {name} replaced. */
function words(key, values = {}) {
  return sentence(key, values).join("");
}

/** The same as a list of texts and values, which may be elements. */
function sentence(key, values = {}) {
  const text = WORDS[state.language][key];
  if (text === undefined) throw new Error(`no words for '${key}'`);
  return text.split(/\{(\w+)\}/).map((part, i) => (i % 2 ? values[part] : part));
}

/** Words of a key that not everything has, such as the name of a group; else the name itself. */
function named(kind, name) {
  return WORDS[state.language][`${kind}.${name}`] ?? name;
}

/** The rule of a group; those of built-in groups are translated by patterns. */
function rule(text) {
  for (const [pattern, words] of WORDS[state.language].rules) text = text.replace(new RegExp(pattern), words);
  return text;
}

/** Names in a row, "a, b and c". */
function listed(parts) {
  const [comma, and] = [words("comma"), words("and")];
  return parts.flatMap((part, i) => [i === 0 ? "" : i < parts.length - 1 ? comma : and, part]);
}

/** Four decimals without the leading zero, as in the terminal: a tie goes to the even digit. */
function number(value) {
  if (value === null || value === undefined) return "–";
  let text = value.toFixed(4);
  const exact = Math.abs(value)
    .toFixed(20)
    .match(/^(\d+\.\d{3}[02468])50{15}$/);
  if (exact) text = (value < 0 ? "-" : "") + exact[1];
  return text.replace(/^(-?)0\./, "$1.").replace("-", "−");
}

function signed(value) {
  return (value > 0 ? "+" : "") + number(value);
}

/** A count or a cost: so many decimals, with commas. */
function amount(value, decimals = 0) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** What lists are like: four decimals below 1, else one. */
function look(value) {
  return value === null || value === undefined || Math.abs(value) < 1 ? number(value) : amount(value, 1);
}
