// Plots of HTML and SVG: they follow the theme, and their words stay readable on a phone.

const STEPS = 20; // bars of the histogram, 5 points of PQ each

function showPlots() {
  const cards = [
    isScored ? plotClasses() : null,
    isScored ? plotImages() : null,
    isScored ? plotMeasures() : null,
    ...figures.runs.map((run) => (run.calibration ? plotReliability(run) : null)),
    ...(figures.sweep ? plotSweep(figures.sweep) : []),
    figures.error_types ? plotErrorTypes(figures.error_types) : null,
  ].filter(Boolean);
  if (cards.length % 2 === 0) cards.at(-1)?.classList.add("wide"); // the first one is wide too
  if (cards.length) byId("plot-cards").append(...cards);
  else {
    byId("plots").hidden = true;
    document.querySelector('nav a[href="#plots"]').hidden = true;
  }
}

function makeCard(title, note, ...content) {
  return make("div", { class: "card" }, make("h3", {}, title), make("p", { class: "soft" }, note), ...content);
}

/** What the colours of a plot mean. */
function makeKeys(colors) {
  const keys = Object.entries(colors).map(([name, color]) => make("span", {}, swatch(color), name));
  return make("p", { class: "keys" }, ...keys);
}

/** Figures of all runs, in their order. */
const writeScores = (scores) => scores.map(percent).join(" \u00b7 ");

/** Which run each of the figures of a row is of. */
const sayOrder = () => (otherRuns.length ? `; figures of ${joinWords(figures.runs.map((run) => run.name))}` : "");

/** Rows that have a figure per run. */
const makeBars = (style, rows) =>
  make("ol", { class: style, "--figures": figures.runs.length }, ...rows);

function plotClasses() {
  const scored = classes.filter((c) => c.pq !== null || c.others.some((pq) => pq !== null));
  scored.sort((a, b) => (b.pq ?? -1) - (a.pq ?? -1) || a.name.localeCompare(b.name));
  const rows = scored.map((c) => {
    const bars = [{ share: c.pq ?? 0, color: c.kind === "thing" ? "var(--things)" : "var(--stuff)", thin: otherRuns.length > 0 }];
    c.others.forEach((pq, place) => bars.push({ share: pq ?? 0, color: runColor(place + 1), thin: true }));
    return barRow(c.name, bars, writeScores([c.pq, ...c.others]));
  });
  const colors = { things: "var(--things)", stuff: "var(--stuff)" };
  otherRuns.forEach((run, place) => { colors[run.name] = runColor(place + 1); });
  const occur = `${plural(classes.length, "class", "classes")} that occur`;
  const occurring = scored.length < classes.length ? `${scored.length} of ${occur} have a PQ` : occur;
  const card = makeCard("PQ per class", `${occurring}, best first${sayOrder()}`,
    makeKeys(colors), makeBars("bars columns", rows));
  card.classList.add("wide");
  return card;
}

function plotImages() {
  const runs = figures.runs.map((run, place) => ({
    name: run.name,
    color: runColor(place),
    counts: countSteps(figures.all_pq.map((pq) => pq[place]).filter((pq) => pq !== null)),
  }));
  const most = Math.max(1, ...runs.flatMap((run) => run.counts));
  const columns = Array.from({ length: STEPS }, (_, step) => make(
    "div",
    { title: `PQ ${5 * step} to ${5 * step + 5}: ${runs.map((run) => plural(run.counts[step], "image")).join(", ")}` },
    ...runs.map((run) => make("i", { "--share": run.counts[step] / most, "--color": run.color })),
  ));
  const values = figures.all_pq.map(([pq]) => pq).filter((pq) => pq !== null).sort((a, b) => a - b);
  const median = values[Math.floor((values.length - 1) / 2)];
  const note = `half of the images reach ${percent(median)}; the highest bar is ${plural(most, "image")}`;
  const keys = otherRuns.length ? makeKeys(Object.fromEntries(runs.map((run) => [run.name, run.color]))) : null;
  return makeCard("PQ per image", note, ...[keys].filter(Boolean),
    make("div", { class: "histogram", role: "img", "aria-label": `Histogram of PQ per image: ${note}` }, ...columns),
    makeRuler(["0", "25", "50", "75", "100"]));
}

const makeRuler = (texts) =>
  make("div", { class: "ruler" }, ...texts.map((text) => make("span", {}, text)));

function countSteps(values) {
  const counts = new Array(STEPS).fill(0);
  for (const value of values) counts[Math.min(STEPS - 1, Math.floor(value * STEPS))] += 1;
  return counts;
}

/** PQ and its relatives, all classes, with 95 % intervals in words. */
function plotMeasures() {
  const rows = firstRun.measures.map((measure, place) => {
    const bars = [{ share: measure.pq.all ?? 0, color: "var(--all)", thin: otherRuns.length > 0 }];
    otherRuns.forEach((run, other) => {
      bars.push({ share: run.measures[place].pq.all ?? 0, color: runColor(other + 1), thin: true });
    });
    const [low, high] = measure.interval.all ?? [null, null];
    const groups = ["things", "stuff"].map((group) => `${group} ${percent(measure.pq[group])}`).join(", ");
    const title = low === null ? groups : `${percent(low)} to ${percent(high)} (95 % of resampled sets of images); ${groups}`;
    const scores = figures.runs.map((run) => run.measures[place].pq.all);
    return barRow(measure.title, bars, writeScores(scores), { title });
  });
  if (!rows.length) return null;
  const colors = figures.runs.map((run, place) => [run.name, place ? runColor(place) : "var(--all)"]);
  const keys = otherRuns.length ? makeKeys(Object.fromEntries(colors)) : null;
  return makeCard("Measures", `PQ with another IoU, other thresholds or one size of segments; intervals, things and stuff under the pointer${sayOrder()}`,
    ...[keys].filter(Boolean), makeBars("bars wordy", rows));
}

/** How often segments are right, over their score: on the diagonal where the score says so. */
function plotReliability(run) {
  const groups = Object.entries(run.calibration);
  const svg = make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img",
    "aria-label": "Share of segments that are right, over their score" });
  for (const height of [0, 50, 100]) {
    svg.append(make("line", { class: "grid", x1: 0, x2: 100, y1: height, y2: height }));
  }
  svg.append(make("line", { class: "grid", x1: 0, x2: 100, y1: 100, y2: 0 }));
  for (const [group, { bins }] of groups) {
    const spots = bins.map((bin) => `${100 * bin.score} ${100 - 100 * bin.correct}`);
    const color = { "--color": `var(--${group})` };
    svg.append(make("path", { d: `M${spots.join("L")}`, ...color }));
    svg.append(make("path", { class: "dot", d: spots.map((spot) => `M${spot}h0`).join(""), ...color }));
  }
  const errors = groups.map(([group, { ece, n }]) => `${group} ${percent(ece)} over ${plural(n, "segment")}`).join(", ");
  const title = otherRuns.length ? `Reliability of scores, ${run.name}` : "Reliability of scores";
  const ticks = ["100", "50", "0"].map((text) => make("span", {}, text));
  return makeCard(title, `share of right segments over their score, in 15 bins; expected calibration error: ${errors}`,
    makeKeys(Object.fromEntries(groups.map(([group]) => [group, `var(--${group})`]))),
    make("div", { class: "chart" }, make("div", { class: "scale" }, ...ticks), svg, makeRuler(["0", "50", "100"])));
}

/** For each axis of a sweep, the best setting at each of its values. */
function plotSweep(sweep) {
  const scores = ["all", "things", "stuff"];
  if (!sweep.settings.length || !sweep.best) return [];
  const keys = Object.keys(sweep.settings[0]).filter((key) => !scores.includes(key));
  const best = keys.map((key) => `${key} ${sweep.best[key]}`).join(", ");
  const interval = sweep.interval ? ` (95 %: ${percent(sweep.interval[0])} to ${percent(sweep.interval[1])})` : "";
  const worth = sweep.held_out // the interval is of the images that were held out
    ? `best of all with ${best}: ${percent(sweep.best.all)} on the ${plural(sweep.images, "image")} it was chosen by, ${percent(sweep.held_out.all.pq)}${interval} on the others`
    : `best of all ${percent(sweep.best.all)}${interval} with ${best}`;
  const note = `best over all other settings; ${worth}`;
  return keys.map((key) => {
    const bests = bestByValue(sweep.settings, key);
    if (bests.length < 2) return null;
    const isNumeric = bests.every((setting) => typeof setting[key] === "number");
    const plot = isNumeric ? drawLines(bests, key, scores) : drawSettings(bests, key);
    return makeCard(`Sweep: PQ over ${key.replaceAll("_", " ")}`, note, ...plot);
  });
}

function bestByValue(settings, key) {
  const best = new Map();
  for (const setting of settings) {
    const value = setting[key];
    if (value === null || value === undefined || setting.all === null) continue;
    if (!best.has(value) || setting.all > best.get(value).all) best.set(value, setting);
  }
  const ranked = [...best.values()];
  return ranked.sort((a, b) => (typeof a[key] === "number" ? a[key] - b[key] : b.all - a.all));
}

function drawSettings(bests, key) {
  const rows = bests.map((setting) =>
    barRow(String(setting[key]), [{ share: setting.all, color: "var(--all)" }], percent(setting.all)));
  return [make("ol", { class: "bars" }, ...rows)];
}

function drawLines(bests, key, scores) {
  const values = bests.flatMap((setting) => scores.map((score) => setting[score]).filter((v) => v !== null));
  const low = Math.floor(20 * Math.min(...values)) / 20;
  const high = Math.max(low + 0.05, Math.ceil(20 * Math.max(...values)) / 20);
  const [from, to] = [bests[0][key], bests[bests.length - 1][key]];
  const x = (setting) => (100 * (setting[key] - from)) / (to - from);
  const y = (value) => (100 * (high - value)) / (high - low);
  const svg = make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img",
    "aria-label": `PQ of all, things and stuff for ${key} from ${from} to ${to}` });
  for (const height of [0, 50, 100]) {
    svg.append(make("line", { class: "grid", x1: 0, x2: 100, y1: height, y2: height }));
  }
  for (const score of scores) {
    const shown = bests.filter((setting) => setting[score] !== null);
    const spots = shown.map((setting) => `${x(setting)} ${y(setting[score])}`);
    const color = { "--color": `var(--${score})` };
    svg.append(make("path", { d: `M${spots.join("L")}`, ...color }));
    svg.append(make("path", { class: "dot", d: spots.map((spot) => `M${spot}h0`).join(""), ...color }));
  }
  const ticks = [high, (high + low) / 2, low].map((value) => make("span", {}, percent(value)));
  return [
    makeKeys({ all: "var(--all)", things: "var(--things)", stuff: "var(--stuff)" }),
    make("div", { class: "chart" }, make("div", { class: "scale" }, ...ticks), svg,
      makeRuler([String(from), String(to)])),
  ];
}

/** Where the missing PQ went, the error type that costs most first. */
function plotErrorTypes({ run, costs }) {
  const most = Math.max(1e-9, ...costs.map((cost) => cost.share));
  const row = ({ title, share }, attributes) =>
    barRow(title, [{ share: share / most, color: "var(--accent)" }], percent(share), attributes);
  const rows = costs.flatMap((cost) => [
    row(cost, {}),
    ...cost.parts.map((part) => row(part, { class: "inner" })),
  ]);
  return makeCard("Where the missing PQ went", `points of PQ that each type of error costs ${run}; they add up`,
    make("ol", { class: "bars wordy" }, ...rows));
}
