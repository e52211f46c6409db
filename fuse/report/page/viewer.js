// One image, large: a layer over it, its segments beside it, their names under the pointer.

const KINDS = {
  tp: "matched (TP)",
  fp: "false (FP)",
  fn: "missed (FN)",
  excused: "excused (on void or crowd)",
  crowd: "crowd, not scored",
};
const viewer = { place: 0, image: null, layer: "fused" };

const layerButtons = LAYERS.map((layer, place) => make(
  "button",
  { type: "button", "data-layer": layer.name, title: `Key ${place + 1}`, onclick: () => chooseLayer(layer.name) },
  make("kbd", { "aria-hidden": "true" }, String(place + 1)),
  layer.title,
));

function prepareViewer() {
  byId("layers").append(...layerButtons);
  byId("previous").addEventListener("click", () => moveImage(-1));
  byId("next").addEventListener("click", () => moveImage(1));
  byId("close").addEventListener("click", () => byId("viewer").close());
  byId("opacity").addEventListener("input", drawStage);
  byId("viewer").addEventListener("keydown", onKey);
  byId("canvas").addEventListener("pointermove", pointAt);
  byId("canvas").addEventListener("pointerdown", pointAt);
  byId("canvas").addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") standOut(0); // a lifted finger leaves what it named
  });
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const layer = LAYERS[Number(event.key) - 1];
  if (step && event.target !== byId("opacity")) {
    event.preventDefault();
    moveImage(step);
  } else if (layer && viewer.image?.has(layer.name)) {
    chooseLayer(layer.name);
  }
}

/** Go to the image before or behind in the gallery's order, round at its ends. */
function moveImage(step) {
  const count = galleryPlaces.length;
  if (!count) return;
  const here = galleryPlaces.indexOf(viewer.place);
  showImage(galleryPlaces[(here + step + count) % count]);
}

function showImage(place) {
  const { name } = figures.images[place];
  const image = openImage(place);
  Object.assign(viewer, { place, image });
  byId("viewer-name").textContent = name;
  byId("viewer-score").textContent = describeScore(figures.images[place]);
  byId("viewer-place").textContent = `${galleryPlaces.indexOf(place) + 1} of ${galleryPlaces.length}`;
  byId("viewer-note").textContent = image.note ?? "";
  for (const canvas of [byId("canvas"), byId("highlight")]) {
    canvas.width = image.width;
    canvas.height = image.height;
  }
  byId("sheet").style.setProperty("--ratio", image.width / image.height);
  for (const button of layerButtons) {
    const { layer } = button.dataset;
    button.disabled = !image.has(layer);
  }
  if (!byId("viewer").open) byId("viewer").showModal();
  chooseLayer(image.has(viewer.layer) ? viewer.layer : "fused");
}

function describeScore({ pq, counts, changed }) {
  const words = [];
  if (counts) words.push(`PQ ${percent(pq[0])}`, `${counts.tp} TP, ${counts.fp} FP, ${counts.fn} FN`);
  if (counts) words.push(...otherRuns.map((run, place) => `PQ ${percent(pq[place + 1])} in ${run.name}`));
  if (changed !== null) words.push(`${percent(changed)} % of the pixels changed class`);
  return words.join(" \u00b7 ");
}

function chooseLayer(name) {
  viewer.layer = name;
  for (const button of layerButtons) {
    button.setAttribute("aria-pressed", String(button.dataset.layer === name));
  }
  const title = LAYERS.find((layer) => layer.name === name).title;
  byId("canvas").setAttribute("aria-label", `${figures.images[viewer.place].name}: ${title}`);
  standOut(0);
  drawStage();
  listSegments();
}

const isShown = (image, layer) => viewer.image === image && viewer.layer === layer;

async function drawStage() {
  const { image, layer } = viewer;
  const loaded = await loadLayer(image, layer);
  if (!isShown(image, layer)) return; // another was chosen meanwhile
  drawLayer(byId("canvas"), loaded, Number(byId("opacity").value) / 100);
  byId("canvas").dataset.drawn = `${viewer.place} ${layer}`;
}

/** The layer that a pointer on the chosen one reads: errors and images have no segments. */
const readLayer = () => (["image", "errors"].includes(viewer.layer) ? "fused" : viewer.layer);

const ownRun = (layer) => (layer.startsWith("run-") ? figures.runs[Number(layer.slice(4))] : firstRun);

/** Beside the image: the segments of the layer, or how much each kind of error covers. */
async function listSegments() {
  const { image, layer } = viewer;
  const list = layer === "errors" ? await listErrors(image) : listLayer(image, readLayer());
  if (isShown(image, layer)) byId("segments").replaceChildren(...list);
}

async function listErrors(image) {
  const counts = new Array(ERRORS.length).fill(0);
  const errors = await image.errors();
  for (const error of errors) counts[error] += 1;
  const rows = [...ERRORS.entries()].sort(([a], [b]) => counts[b] - counts[a]);
  return [
    make("li", { class: "heading" }, "Share of the pixels"),
    ...rows.map(([number, error]) => {
      const share = `${percent(counts[number] / errors.length)} %`;
      return make("li", {}, makeEntry(error.color ?? "#4a4d52", error.title, share, "", {}));
    }),
  ];
}

function listLayer(image, layer) {
  const segments = image.segments(layer);
  const numbers = [...segments.keys()].sort((a, b) => segments[b].share - segments[a].share);
  const rows = numbers.filter((place) => segments[place].share > 0).map((place) => {
    const segment = segments[place];
    const score = segment.score === undefined ? "" : segment.score.toFixed(2);
    const [, ...details] = describeSegment(layer, place + 1);
    const show = () => standOut(place + 1, layer, { dimOthers: true });
    const hide = () => standOut(0);
    const events = { onpointerenter: show, onfocus: show, onpointerleave: hide, onblur: hide };
    const name = className(ownRun(layer), segment.category);
    const detail = details.filter((text) => !text.startsWith("score")).join("; ");
    return make("li", {}, makeEntry(segment.color, name, score, detail, events));
  });
  const heading = `${plural(rows.length, "segment")}, largest first`;
  return [make("li", { class: "heading" }, heading), ...rows];
}

function makeEntry(color, name, value, detail, events) {
  return make(
    "button",
    { type: "button", ...events },
    swatch(color),
    make("span", {}, name),
    make("span", { class: "number" }, value),
    detail ? make("span", { class: "detail" }, detail) : null,
  );
}

/** A segment in words: its class, then what else is known of it. */
function describeSegment(layer, number) {
  const segment = viewer.image.segments(layer)[number - 1];
  const run = ownRun(layer);
  const lines = [className(run, segment.category)];
  if (segment.score !== undefined) lines.push(`score ${segment.score.toFixed(2)}`);
  if (segment.kind === "crowd") lines.push(KINDS.crowd);
  else if (segment.kind) {
    const iou = segment.kind === "tp" ? "IoU" : "best IoU";
    lines.push(`${KINDS[segment.kind]}, ${iou} ${segment.iou.toFixed(2)}`);
  }
  if (segment.other !== undefined) {
    const verb = layer === "truth" ? "predicted as" : "the truth says";
    lines.push(`${verb} ${className(run, segment.other)}`);
  }
  lines.push(`${percent(segment.share)} % of the image`);
  return lines;
}

/** Name what lies under the pointer and make it stand out. */
async function pointAt(event) {
  const { image, layer } = viewer;
  const box = byId("canvas").getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * image.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * image.height);
  if (x < 0 || y < 0 || x >= image.width || y >= image.height) return;
  const place = y * image.width + x;
  const read = readLayer();
  const number = (await image.ids(read))[place];
  const lines = layer === "errors"
    ? await describeError(image, place)
    : number ? describeSegment(read, number) : ["void"];
  if (!isShown(image, layer)) return;
  standOut(number, read);
  showTip(lines, event.clientX - box.left, event.clientY - box.top, box);
}

/** The error of a pixel, what was predicted there and what is true. */
async function describeError(image, place) {
  const sides = { predicted: "fused", truth: "truth" };
  const lines = [ERRORS[(await image.errors())[place]].title];
  for (const [word, layer] of Object.entries(sides)) {
    const number = (await image.ids(layer))[place];
    const [name, ...details] = number ? describeSegment(layer, number) : ["void"];
    lines.push(`${word}: ${[name, ...details.filter((text) => text.includes("IoU"))].join(", ")}`);
  }
  return lines;
}

function showTip([title, ...details], x, y, box) {
  const tip = byId("tip");
  tip.replaceChildren(make("strong", {}, title), ...details.map((line) => make("div", {}, line)));
  tip.hidden = false;
  const left = Math.min(x + 14, box.width - tip.offsetWidth);
  const top = y + 18 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 10 : y + 18;
  tip.style.transform = `translate(${Math.max(0, left)}px, ${Math.max(0, top)}px)`;
}

/** Make a segment stand out, or none; without one nothing is named either. */
function standOut(number, layer = readLayer(), { dimOthers = false } = {}) {
  if (!number) byId("tip").hidden = true;
  if (viewer.image) drawHighlight(byId("highlight"), viewer.image, layer, number, dimOthers);
}
