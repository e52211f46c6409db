// Images and maps: decoded when they are shown, coloured here, read back under the pointer.

const LAYERS = [
  { name: "image", title: "Image" },
  { name: "semantic", title: "Semantic" },
  { name: "instances", title: "Instances" },
  { name: "fused", title: "Fused" },
  { name: "truth", title: "Truth" },
  { name: "errors", title: "Errors" },
  ...otherRuns.map((run, place) => ({ name: `run-${place + 1}`, title: run.name })),
];

// The errors of a pixel; the place in this list is its number in an error map.
const ERRORS = [
  { title: "not scored: void, crowd or excused", color: null },
  { title: "right: a matched segment and its partner", color: "#2fa374" },
  { title: "outline: where a match falls short or reaches too far", color: "#ffd84d" },
  { title: "false: predicted, not there (FP)", color: "#e8542f" },
  { title: "missed: there, not predicted (FN)", color: "#3c8df0" },
  { title: "mistaken: false where another is missed", color: "#a24bc4" },
];
const [UNSCORED, RIGHT, OUTLINE, FALSE, MISSED, MISTAKEN] = ERRORS.keys();
const BORDER = [255, 255, 255, 150];
const OUTLINED = [255, 255, 255, 255];
const DIMMED = [0, 0, 0, 140];

/** A image of the report whose picture and layers are decoded when asked for, once. */
function openImage(place) {
  const block = JSON.parse(byId(`image-${place}`).textContent);
  const decoded = new Map();
  const once = (key, decode) => {
    if (!decoded.has(key)) decoded.set(key, decode());
    return decoded.get(key);
  };
  const image = {
    height: block.size[0],
    width: block.size[1],
    note: block.note,
    has: (name) =>
      name === "image" || name in block.layers || (name === "errors" && "truth" in block.layers),
    segments: (name) => block.layers[name]?.segments ?? [],
    picture: () => once("picture", () => (block.jpeg ? decodeBitmap(block.jpeg, "image/jpeg") : null)),
    ids: (name) => once(`ids ${name}`, () => readIds(block.layers[name].png)),
    errors: () => once("errors", () => findErrors(image)),
    tint: (name) => once(`tint ${name}`, () => tintLayer(image, name)),
  };
  return image;
}

function decodeBitmap(base64, type) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type }), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
}

/** The numbers of a map, row by row: 0 = void, k = the k-th segment of its layer. */
async function readIds(base64) {
  const bitmap = await decodeBitmap(base64, "image/png");
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  const ids = new Uint32Array(width * height);
  for (let i = 0; i < ids.length; i += 1) {
    ids[i] = pixels[4 * i] + 256 * pixels[4 * i + 1] + 65536 * pixels[4 * i + 2];
  }
  return ids;
}

/** The error of each pixel: places in ERRORS. */
async function findErrors(image) {
  const [predicted, truth] = await Promise.all([image.ids("fused"), image.ids("truth")]);
  const [segments, trueSegments] = [image.segments("fused"), image.segments("truth")];
  const errors = new Uint8Array(predicted.length);
  for (let i = 0; i < errors.length; i += 1) {
    const segment = predicted[i] ? segments[predicted[i] - 1] : null;
    const trueSegment = truth[i] ? trueSegments[truth[i] - 1] : null;
    errors[i] = judgePixel(segment, trueSegment, segment && segment.partner === truth[i]);
  }
  return errors;
}

function judgePixel(segment, trueSegment, isMatch) {
  if (isMatch) return RIGHT;
  const isMissed = trueSegment?.kind === "fn";
  if (segment?.kind === "fp") return isMissed ? MISTAKEN : FALSE;
  if (isMissed) return MISSED;
  return trueSegment?.kind === "tp" ? OUTLINE : UNSCORED;
}

/** A canvas with the colours of a layer and bright borders, to be laid over the image. */
async function tintLayer(image, name) {
  const isErrors = name === "errors";
  const numbers = isErrors ? await image.errors() : await image.ids(name);
  const colors = isErrors
    ? ERRORS.map((error) => error.color)
    : [null, ...image.segments(name).map((segment) => segment.color)];
  const palette = colors.map((color) => (color ? [...parseColor(color), 255] : [0, 0, 0, 110]));
  const { width, height } = image;
  const pixels = new ImageData(width, height);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const edge = !isErrors && isEdge(numbers, i, x, y, width, height);
      pixels.data.set(edge ? BORDER : palette[numbers[i]], 4 * i);
    }
  }
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

const isEdge = (numbers, i, x, y, width, height) =>
  (x + 1 < width && numbers[i] !== numbers[i + 1]) ||
  (y + 1 < height && numbers[i] !== numbers[i + width]);

const parseColor = (color) => [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));

/** What is drawn for a layer of an image: the picture, and the colours to lay over it. */
const loadLayer = (image, name) =>
  Promise.all([image.picture(), name === "image" ? null : image.tint(name)]);

/** Draw an image with one of its layers over it, into the whole canvas. */
function drawLayer(canvas, [picture, tint], opacity) {
  const context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.fillStyle = "#7a7f87";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = opacity;
  if (tint) context.drawImage(tint, 0, 0, canvas.width, canvas.height);
}

/** Outline one segment of a layer on a canvas of the image's size, and dim the others. */
async function drawHighlight(canvas, image, name, number, dimOthers) {
  const ids = number ? await image.ids(name) : null;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!ids) return;
  const { width, height } = image;
  const pixels = new ImageData(width, height);
  const isOther = (x, y) => x < 0 || y < 0 || x >= width || y >= height || ids[y * width + x] !== number;
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (ids[i] !== number) {
        if (dimOthers) pixels.data.set(DIMMED, 4 * i);
      } else if (isOther(x - 2, y) || isOther(x + 2, y) || isOther(x, y - 2) || isOther(x, y + 2)) {
        pixels.data.set(OUTLINED, 4 * i);
      }
    }
  }
  context.putImageData(pixels, 0, 0);
}
