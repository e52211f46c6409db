// Theme, and the start.

const THEMES = ["auto", "light", "dark"];

/** Read or keep the chosen theme; a browser may forbid both. */
function storedTheme(theme) {
  try {
    if (theme) localStorage.setItem("fuse-theme", theme);
    return localStorage.getItem("fuse-theme");
  } catch {
    return null;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
}

function prepareTheme() {
  const stored = storedTheme();
  setTheme(THEMES.includes(stored) ? stored : "auto");
  byId("theme").addEventListener("click", () => {
    const here = THEMES.indexOf(document.documentElement.dataset.theme);
    const theme = THEMES[(here + 1) % THEMES.length];
    storedTheme(theme);
    setTheme(theme);
  });
}

prepareTheme();
showHead();
showScores();
showRuns();
showNotes();
showClassTable();
showPlots();
showGallery();
prepareViewer();
document.documentElement.dataset.ready = "true";
