// Thumbnails of the photos: ordered, filtered, found by name; drawn when they come into view.

const THUMBNAIL_WIDTH = 360;
const THUMBNAIL_OPACITY = 0.5;

const hasPq = (photo) => photo.pq[0] !== null;
const gain = (photo) => (secondRun && photo.pq.every((pq) => pq !== null) ? photo.pq[1] - photo.pq[0] : 0);
const byName = (a, b) => (a.name < b.name ? -1 : Number(a.name > b.name));

const ORDERS = {
  ...(isScored
    ? {
        worst: { title: "worst PQ first", compare: (a, b) => hasPq(b) - hasPq(a) || a.pq[0] - b.pq[0] },
        best: { title: "best PQ first", compare: (a, b) => hasPq(b) - hasPq(a) || b.pq[0] - a.pq[0] },
      }
    : {}),
  ...(secondRun ? { changed: { title: "most changed first", compare: (a, b) => b.changed - a.changed } } : {}),
  ...(secondRun && isScored
    ? {
        gained: { title: "gained most first", compare: (a, b) => gain(b) - gain(a) },
        lost: { title: "lost most first", compare: (a, b) => gain(a) - gain(b) },
      }
    : {}),
  name: { title: "by name", compare: byName },
};

const thumbnails = figures.photos.map(makeThumbnail);
let galleryPlaces = []; // of the photos that are listed, in their order

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      watcher.unobserve(entry.target);
      drawThumbnail(entry.target.querySelector("canvas"), Number(entry.target.dataset.place));
    }
  },
  { rootMargin: "300px" },
);

function makeThumbnail(photo, place) {
  const figure = isScored ? `PQ ${percent(photo.pq[0])}` : "";
  const gained = gain(photo);
  const change = Math.abs(gained) < 0.0005 ? null : make("span", { class: tendency(gained) }, points(gained));
  const changed = photo.changed === null ? "" : `${percent(photo.changed)} % changed`;
  return make(
    "li",
    { "data-place": place },
    make(
      "button",
      { type: "button", onclick: () => showPhoto(place), "aria-label": [photo.name, figure, changed].filter(Boolean).join(", ") },
      make("canvas", { width: THUMBNAIL_WIDTH, height: (THUMBNAIL_WIDTH * 3) / 4, "aria-hidden": "true" }),
      make(
        "span",
        { class: "caption" },
        make("span", { class: "name", title: photo.name }, photo.name),
        make("span", { class: "number" }, figure),
        change,
        changed ? make("span", { class: "soft", title: changed }, `\u0394 ${percent(photo.changed)} %`) : null,
      ),
    ),
  );
}

async function drawThumbnail(canvas, place) {
  const photo = openPhoto(place);
  canvas.width = THUMBNAIL_WIDTH;
  canvas.height = Math.max(1, Math.round((THUMBNAIL_WIDTH * photo.height) / photo.width));
  drawLayer(canvas, await loadLayer(photo, "fused"), THUMBNAIL_OPACITY);
}

function showGallery() {
  const listed = classes.filter((c) => c.photos).sort(byName);
  byId("photo-class").append(
    make("option", { value: "" }, "any class"),
    ...listed.map((c) => make("option", { value: c.id }, `${c.name} (${c.photos})`)),
  );
  byId("photo-order").append(
    ...Object.entries(ORDERS).map(([value, order]) => make("option", { value }, order.title)),
  );
  byId("photo-search").addEventListener("input", fillGallery);
  byId("photo-class").addEventListener("change", fillGallery);
  byId("photo-order").addEventListener("change", fillGallery);
  fillGallery();
}

function fillGallery() {
  const wanted = byId("photo-search").value.trim().toLowerCase();
  const categoryId = Number(byId("photo-class").value);
  const { compare } = ORDERS[byId("photo-order").value];
  galleryPlaces = [...figures.photos.keys()].filter((place) => {
    const photo = figures.photos[place];
    return photo.name.toLowerCase().includes(wanted) && (!categoryId || photo.classes.includes(categoryId));
  });
  galleryPlaces.sort((a, b) => {
    const [x, y] = [figures.photos[a], figures.photos[b]];
    return compare(x, y) || byName(x, y);
  });
  const items = galleryPlaces.map((place) => thumbnails[place]);
  byId("thumbnails").replaceChildren(
    ...(items.length ? items : [make("li", { class: "soft empty" }, "no photo fits")]),
  );
  for (const item of items) if (!item.dataset.seen) {
    item.dataset.seen = "true";
    watcher.observe(item);
  }
  byId("photo-count").textContent = `${items.length} of ${plural(figures.photos.length, "photo")}`;
}
