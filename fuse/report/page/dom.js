// Elements, numbers and words that every part of the page uses.

const figures = JSON.parse(document.getElementById("figures").textContent);
const [firstRun, ...otherRuns] = figures.runs;
const onlyOther = otherRuns.length === 1 ? otherRuns[0] : null; // what gained is told of two runs
const isScored = firstRun.scores !== null;

const byId = (id) => document.getElementById(id);

/**
 * An element. Children that are text become text nodes, whatever they contain, so names of
 * files and classes can never become markup. `--name` attributes set CSS variables.
 */
function make(tag, attributes = {}, ...children) {
  const namespace = ["svg", "path", "line"].includes(tag)
    ? "http://www.w3.org/2000/svg"
    : "http://www.w3.org/1999/xhtml";
  const node = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("--")) node.style.setProperty(name, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** The colour of a run beside the first: two of the style, then around the circle. */
const runColor = (place) =>
  place < 3 ? ["var(--accent)", "var(--second)", "var(--third)"][place] : `hsl(${(place * 137) % 360} 55% 50%)`;

const swatch = (color) => make("span", { class: "swatch", "--color": color, "aria-hidden": "true" });

/** A fraction times 100 with one decimal; n/a where there is none. */
const percent = (fraction) => (fraction === null || fraction === undefined ? "n/a" : (100 * fraction).toFixed(1));

/** A difference of fractions in points, with its sign. */
function points(difference) {
  const rounded = (100 * difference).toFixed(1).replace("-0.0", "0.0");
  return difference > 0 && rounded !== "0.0" ? `+${rounded}` : rounded.replace("-", "\u2212");
}

/** How to write a difference: better, worse, or neither. */
const tendency = (difference) =>
  Math.abs(difference) < 0.0005 ? "number" : difference > 0 ? "number better" : "number worse";

/** A class name without what COCO adds to classes that it merged. */
const shortName = (name) => name.replace(/-merged$/, "").replace(/-other$/, "");

const className = (run, categoryId) => shortName(run.classes[categoryId].name);

const capitalize = (text) => text[0].toUpperCase() + text.slice(1);

/** "a", "a and b", "a, b and c". */
const joinWords = (words) =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** A row of `.bars`: a name, bars of shares 0..1 and what stands behind them. */
function barRow(name, bars, value, attributes = {}) {
  const track = make(
    "span",
    { class: "track" },
    ...bars.map(({ share, color, thin }) =>
      make("span", { class: thin ? "bar thin" : "bar", "--share": Math.max(0, share), "--color": color })),
  );
  return make(
    "li",
    attributes,
    make("span", { class: "name", title: name }, name),
    track,
    make("span", { class: "value" }, value),
  );
}
