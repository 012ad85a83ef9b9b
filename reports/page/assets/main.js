// Start, theme, and news from a server that watches a running sweep.

function draw() {
  drawLeaderboard();
  drawPair();
  drawClass();
  drawFigures();
}

function drawAll() {
  const failed = DATA.records.filter((record) => record.status === "failed").length;
  document.getElementById("title").textContent = document.title = DATA.title;
  document.getElementById("summary").textContent = [
    counted(DATA.records.length, "run"), counted(DATA.tables.reduce((n, t) => n + t.rows.length, 0), "row"),
    counted(DATA.tables.length, "table"), failed ? `${counted(failed, "run")} failed` : null,
  ].filter(Boolean).join(", ");
  document.getElementById("news").textContent = DATA.news ?? "";
  settle();
  drawAcross(); // first: the plots of both are rendered at the end of `draw`
  draw();
  drawPublished();
  drawRuns();
  drawMethods();
}

const THEMES = ["system", "light", "dark"];

function changeTheme() {
  const root = document.documentElement;
  const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  document.getElementById("theme").textContent = `Theme: ${next}`;
}

/** Ask the server for newer data as long as the page is open; the choices stay. */
async function watch(pause) {
  let tag = null;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      const answer = await fetch("data", { headers: tag ? { "If-None-Match": tag } : {} });
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        setData(await answer.json());
        drawAll();
      }
    } catch {
      document.getElementById("news").textContent = "The server does not answer: the page shows what it said last.";
    }
  }
}

let width = document.documentElement.clientWidth;
addEventListener("resize", () => {
  if (width !== document.documentElement.clientWidth) renderPlots();
  width = document.documentElement.clientWidth;
});
matchMedia("print").addEventListener("change", renderPlots);
document.getElementById("theme").addEventListener("click", changeTheme);
setData(JSON.parse(document.getElementById("data").textContent));
drawAll();
if (DATA.live) watch(1000 * DATA.live);
