// The head of the page: scores, and what the runs were made with.

const GROUPS = { all: "All classes", things: "Things", stuff: "Stuff" };

function showHead() {
  const names = joinWords(figures.runs.map((run) => run.name));
  document.title = `${names} \u2013 fuse report`;
  byId("title").textContent = names;
  const total = figures.all_pq.length;
  const shown = figures.images.length;
  const images = shown < total
    ? `${plural(total, "image")}, ${shown} of them shown: the worst, the best${otherRuns.length ? ", the most changed" : ""}`
    : plural(total, "image");
  byId("subtitle").textContent = `${images}; label space ${firstRun.label_space}`;
  byId("footer").textContent = `fuse ${figures.fuse}`;
}

function showScores() {
  if (!isScored) {
    const reason = figures.unscored ?? "no ground truth was given (--gt), so nothing is scored";
    byId("scores").append(make("p", { class: "card soft" }, `${capitalize(reason)}.`));
    return;
  }
  for (const [group, title] of Object.entries(GROUPS)) {
    const score = firstRun.scores.pq[group];
    byId("scores").append(
      make(
        "div",
        { class: "card tile", "--color": `var(--${group})` },
        make("h3", {}, title),
        make("p", { class: "figure" }, percent(score.pq), make("small", {}, " PQ")),
        make("p", { class: "soft number" },
          `SQ ${percent(score.sq)} \u00b7 RQ ${percent(score.rq)} \u00b7 ${score.n} classes`),
        ...otherRuns.map((run, place) => makeComparison(score, run, group, place + 1)),
      ),
    );
  }
}

/** What another run has instead. */
function makeComparison(score, run, group, place) {
  const other = run.scores.pq[group];
  const line = make("p", { class: "number" }, swatch(runColor(place)), ` ${percent(other.pq)} `);
  if (score.pq !== null && other.pq !== null) {
    const difference = other.pq - score.pq;
    line.append(make("span", { class: tendency(difference) }, points(difference)));
  }
  line.append(make("span", { class: "soft" }, ` in ${run.name}`));
  return line;
}

function showRuns() {
  for (const run of figures.runs) {
    byId("runs").append(make("div", { class: "card" }, make("h3", {}, run.name), makeFacts(run)));
    if (run.seconds) byId("runs").append(makeStages(run));
  }
}

function makeFacts(run) {
  const facts = make("dl", { class: "facts" });
  const add = (term, ...value) => facts.append(make("dt", {}, term), make("dd", {}, ...value));
  const pipeline = run.pipeline;
  if (pipeline) {
    add("Pipeline", pipeline.description ? `${pipeline.name}: ${pipeline.description}` : pipeline.name);
    const { rule, ...settings } = pipeline.fusion;
    const thresholds = Object.entries(settings).map(([key, value]) => `${key.replaceAll("_", " ")} ${value}`);
    add("Rule", [rule, ...thresholds].join(", "));
  }
  for (const [net, hash] of Object.entries(run.weights)) {
    const text = String(hash);
    add(`Weights, ${net}`, make("code", { title: text }, text.slice(0, 16)));
  }
  if (run.images) add("Images", `${run.images.done} done, ${run.images.failed ?? 0} failed`);
  if (run.device) add("Device", [run.device, run.processor].filter(Boolean).join(", "));
  if (run.peak_memory_mib?.process) add("Peak memory", `${run.peak_memory_mib.process} MiB`);
  const packages = Object.entries(run.packages ?? {}).map(([name, version]) => `${name} ${version}`);
  if (packages.length) add("Versions", packages.join(", "));
  add("Folder", make("code", {}, run.path));
  return facts;
}

/** Seconds per stage, added up over threads. */
function makeStages(run) {
  const { total, ...stages } = run.seconds;
  const tried = run.images?.tried; // by the call that took these seconds
  const ranked = Object.entries(stages).sort(([, a], [, b]) => b - a);
  const longest = Math.max(...ranked.map(([, seconds]) => seconds), 1e-9);
  return make(
    "div",
    { class: "card" },
    make("h3", {}, otherRuns.length ? `Seconds, ${run.name}` : "Seconds"),
    make("p", { class: "soft" },
      [
        `${total?.toFixed(1) ?? "?"} s in all`,
        ...(tried && total ? [`${((1000 * total) / tried).toFixed(0)} ms an image`] : []),
      ].join(", ") + "; stages add up over threads"),
    make("ul", { class: "bars stages" }, ...ranked.map(([stage, seconds]) =>
      barRow(stage, [{ share: seconds / longest, color: "var(--accent)" }], `${seconds.toFixed(1)} s`))),
  );
}

function showNotes() {
  const notes = [];
  if (figures.truth) notes.push(`Scored against ${figures.truth}.`);
  if (figures.mapped) notes.push(`${capitalize(figures.mapped)}.`);
  for (const run of figures.runs) {
    if (run.unknown) {
      const where = figures.truth ? "the ground truth" : firstRun.name;
      notes.push(`${run.name}: ${plural(run.unknown, "image")} left out, as ${where} lacks them.`);
    }
  }
  if (figures.runs.some((run) => run.images_here > figures.compared)) {
    const others = figures.runs.map((run) => `${run.name} has ${run.images_here - figures.compared} more`);
    const whole = onlyOther ? "both" : "all";
    notes.push(`What is said of ${whole} runs is of the ${plural(figures.compared, "image")} that ${whole} have; ${others.join(", ")}.`);
  }
  for (const run of figures.runs) {
    if (run.lacking) {
      notes.push(`${run.name} lacks ${plural(run.lacking, "image")} of the ground truth; they are not scored here, while fuse evaluate counts them as missed.`);
    }
  }
  const missing = figures.images.filter((image) => image.missing).length;
  const stale = figures.images.filter((image) => image.stale).length;
  if (stale) notes.push(`${plural(stale, "image")} changed since the run; their maps are shown without them.`);
  if (figures.differing) notes.push(`${plural(figures.differing, "image")} changed between the runs; there not only their nets and rules differ.`);
  if (missing) notes.push(`${plural(missing, "image")} not found; their maps are shown without them. Name their folder with --images.`);
  byId("notes").append(...notes.map((note) => make("li", {}, note)));
}
