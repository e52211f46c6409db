// The table of classes: sorted by a click on a heading, filtered by name and kind.

const classes = listClasses();
const classOrder = { key: isScored ? "pq" : "name", descending: isScored };

/** A row per class that occurs; without ground truth those of the shown images. */
function listClasses() {
  const otherIds = otherRuns.map((run) =>
    new Map(Object.entries(run.classes).map(([id, c]) => [`${c.isthing} ${c.name}`, id])));
  const images = new Map();
  for (const image of figures.images) {
    for (const id of image.classes) images.set(id, (images.get(id) ?? 0) + 1);
  }
  return Object.entries(firstRun.classes).map(([id, c]) => {
    const score = firstRun.scores?.per_class[id];
    const others = otherRuns.map((run, place) => {
      const otherId = otherIds[place].get(`${c.isthing} ${c.name}`);
      return run.scores && otherId ? run.scores.per_class[otherId].pq : null;
    });
    return {
      id: Number(id),
      name: shortName(c.name),
      kind: c.isthing ? "thing" : "stuff",
      color: c.color,
      pq: score?.pq ?? null,
      sq: score?.sq ?? null,
      rq: score?.rq ?? null,
      tp: score?.tp ?? 0,
      fp: score?.fp ?? 0,
      fn: score?.fn ?? 0,
      others,
      ...Object.fromEntries(others.map((pq, place) => [`other-${place}`, pq])),
      change: onlyOther && others[0] !== null && score?.pq != null ? others[0] - score.pq : null,
      images: images.get(Number(id)) ?? 0,
    };
  }).filter((c) => c.pq !== null || c.others.some((pq) => pq !== null) || c.images);
}

const COLUMNS = [
  { key: "name", title: "Class", word: true },
  { key: "kind", title: "Kind", word: true },
  ...(isScored
    ? [
        { key: "pq", title: "PQ", text: percent },
        { key: "sq", title: "SQ", text: percent },
        { key: "rq", title: "RQ", text: percent },
        { key: "tp", title: "TP" },
        { key: "fp", title: "FP" },
        { key: "fn", title: "FN" },
      ]
    : []),
  ...(isScored
    ? otherRuns.map((run, place) => ({ key: `other-${place}`, title: `PQ, ${run.name}`, text: percent }))
    : []),
  ...(isScored && onlyOther
    ? [{ key: "change", title: "Change", text: (value) => (value === null ? "" : points(value)) }]
    : []),
  { key: "images", title: "Images shown" },
];

function showClassTable() {
  const headings = COLUMNS.map((column) =>
    make(
      "th",
      { scope: "col", class: column.word ? "word" : null },
      make("button", { type: "button", onclick: () => sortClasses(column) }, column.title),
    ));
  byId("class-table").append(make("thead", {}, make("tr", {}, ...headings)), make("tbody"));
  byId("class-search").addEventListener("input", fillClassTable);
  byId("class-kind").addEventListener("change", fillClassTable);
  fillClassTable();
}

/** Sort by a column; a second click turns the order round. */
function sortClasses(column) {
  const again = classOrder.key === column.key;
  classOrder.descending = again ? !classOrder.descending : !column.word;
  classOrder.key = column.key;
  fillClassTable();
}

function fillClassTable() {
  const wanted = byId("class-search").value.trim().toLowerCase();
  const kind = byId("class-kind").value;
  const rows = classes.filter((c) =>
    c.name.toLowerCase().includes(wanted) && (!kind || c.kind === kind));
  rows.sort(compareClasses);
  const table = byId("class-table");
  table.tBodies[0].replaceChildren(...rows.map(makeClassRow));
  table.querySelectorAll("th").forEach((heading, place) => {
    const direction = classOrder.descending ? "descending" : "ascending";
    if (COLUMNS[place].key === classOrder.key) heading.setAttribute("aria-sort", direction);
    else heading.removeAttribute("aria-sort");
  });
  byId("class-count").textContent = `${rows.length} of ${plural(classes.length, "class", "classes")}`;
}

/** By the chosen column, what has no value last, equals by name. */
function compareClasses(a, b) {
  const [x, y] = [a[classOrder.key], b[classOrder.key]];
  if (x === null || y === null) return (x === null) - (y === null);
  const order = typeof x === "string" ? x.localeCompare(y) : x - y;
  return (classOrder.descending ? -order : order) || a.name.localeCompare(b.name);
}

function makeClassRow(c) {
  const cells = COLUMNS.map((column) => {
    if (column.key === "name") return make("td", {}, makeClassLink(c));
    const text = column.text ? column.text(c[column.key]) : String(c[column.key]);
    const style = column.key === "change" && c.change !== null ? tendency(c.change) : null;
    return make("td", { class: column.word ? "word" : style }, text);
  });
  return make("tr", { class: c.images ? null : "unseen" }, ...cells);
}

/** The name of a class, which shows its images. */
function makeClassLink(c) {
  const show = () => {
    byId("image-class").value = c.images ? String(c.id) : "";
    fillGallery();
    byId("images").scrollIntoView();
  };
  return make(
    "button",
    { class: "link", type: "button", title: "Show its images", onclick: show },
    swatch(c.color),
    c.name,
  );
}
