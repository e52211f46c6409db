// Thumbnails of the images: ordered, filtered, found by name; drawn when they come into view.

const THUMBNAIL_WIDTH = 360;
const THUMBNAIL_OPACITY = 0.5;

const hasPq = (image) => image.pq[0] !== null;
const gain = (image) => (onlyOther && image.pq.every((pq) => pq !== null) ? image.pq[1] - image.pq[0] : 0);
const byName = (a, b) => (a.name < b.name ? -1 : Number(a.name > b.name));

const ORDERS = {
  ...(isScored
    ? {
        worst: { title: "worst PQ first", compare: (a, b) => hasPq(b) - hasPq(a) || a.pq[0] - b.pq[0] },
        best: { title: "best PQ first", compare: (a, b) => hasPq(b) - hasPq(a) || b.pq[0] - a.pq[0] },
      }
    : {}),
  ...(otherRuns.length ? { changed: { title: "most changed first", compare: (a, b) => b.changed - a.changed } } : {}),
  ...(onlyOther && isScored
    ? {
        gained: { title: "gained most first", compare: (a, b) => gain(b) - gain(a) },
        lost: { title: "lost most first", compare: (a, b) => gain(a) - gain(b) },
      }
    : {}),
  name: { title: "by name", compare: byName },
};

const thumbnails = figures.images.map(makeThumbnail);
let galleryPlaces = []; // of the images that are listed, in their order

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      watcher.unobserve(entry.target);
      drawThumbnail(entry.target.querySelector("canvas"), Number(entry.target.dataset.place));
    }
  },
  { rootMargin: "300px" },
);

function makeThumbnail(image, place) {
  const figure = isScored ? `PQ ${percent(image.pq[0])}` : "";
  const gained = gain(image);
  const change = Math.abs(gained) < 0.0005 ? null : make("span", { class: tendency(gained) }, points(gained));
  const changed = image.changed === null ? "" : `${percent(image.changed)} % changed`;
  return make(
    "li",
    { "data-place": place },
    make(
      "button",
      { type: "button", onclick: () => showImage(place), "aria-label": [image.name, figure, changed].filter(Boolean).join(", ") },
      make("canvas", { width: THUMBNAIL_WIDTH, height: (THUMBNAIL_WIDTH * 3) / 4, "aria-hidden": "true" }),
      make(
        "span",
        { class: "caption" },
        make("span", { class: "name", title: image.name }, image.name),
        make("span", { class: "number" }, figure),
        change,
        changed ? make("span", { class: "soft", title: changed }, `\u0394 ${percent(image.changed)} %`) : null,
      ),
    ),
  );
}

async function drawThumbnail(canvas, place) {
  const image = openImage(place);
  canvas.width = THUMBNAIL_WIDTH;
  canvas.height = Math.max(1, Math.round((THUMBNAIL_WIDTH * image.height) / image.width));
  drawLayer(canvas, await loadLayer(image, "fused"), THUMBNAIL_OPACITY);
}

function showGallery() {
  const listed = classes.filter((c) => c.images).sort(byName);
  byId("image-class").append(
    make("option", { value: "" }, "any class"),
    ...listed.map((c) => make("option", { value: c.id }, `${c.name} (${c.images})`)),
  );
  byId("image-order").append(
    ...Object.entries(ORDERS).map(([value, order]) => make("option", { value }, order.title)),
  );
  byId("image-search").addEventListener("input", fillGallery);
  byId("image-class").addEventListener("change", fillGallery);
  byId("image-order").addEventListener("change", fillGallery);
  fillGallery();
}

function fillGallery() {
  const wanted = byId("image-search").value.trim().toLowerCase();
  const categoryId = byId("image-class").value; // "" is any, and "0" may be a class
  const { compare } = ORDERS[byId("image-order").value];
  galleryPlaces = [...figures.images.keys()].filter((place) => {
    const image = figures.images[place];
    return image.name.toLowerCase().includes(wanted) && (categoryId === "" || image.classes.includes(Number(categoryId)));
  });
  galleryPlaces.sort((a, b) => {
    const [x, y] = [figures.images[a], figures.images[b]];
    return compare(x, y) || byName(x, y);
  });
  const items = galleryPlaces.map((place) => thumbnails[place]);
  byId("thumbnails").replaceChildren(
    ...(items.length ? items : [make("li", { class: "soft empty" }, "no image fits")]),
  );
  for (const item of items) if (!item.dataset.seen) {
    item.dataset.seen = "true";
    watcher.observe(item);
  }
  byId("image-count").textContent = `${items.length} of ${plural(figures.images.length, "image")}`;
}
