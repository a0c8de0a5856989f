// Charts and sorting tables of report.html. The numbers stand in the page, plotly draws them.
"use strict";

const parts = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 640px)");
const touch = matchMedia("(pointer: coarse)");
const DASHES = ["solid", "dash", "dot", "dashdot"];

/** Runs the bundle that the page carries, compressed. */
async function loadPlotly() {
  const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

/** A colour of the stylesheet, as the scheme has it now. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

const groupColour = (n) => colour(`group${n % 7}`);
const faded = (hex) => `${hex}29`;

function layout(height, more) {
  const grid = { gridcolor: colour("rule"), linecolor: colour("rule"), zeroline: false, automargin: true };
  const axes = Object.fromEntries(
    Object.entries(more).filter(([key]) => /^[xy]axis/.test(key)).map(([key, axis]) => [key, { ...grid, ...axis }]));
  return {
    height, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink") },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("soft"), font: { color: colour("ink") }, namelength: -1 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent") },
    // On a phone the buttons need a line of their own above the plot.
    margin: { l: 10, r: 10, t: narrow.matches ? 52 : 26, b: 10 }, dragmode: touch.matches ? false : "zoom", showlegend: false,
    ...more, ...axes,
  };
}

const note = (text, at) => ({
  text, x: 0, xref: "paper", yref: "y", xanchor: "left", yanchor: "bottom", showarrow: false, ...at });

/** Label and number above the row of each group; on a phone the number has a line of its own. */
function rowNotes(rows) {
  if (narrow.matches) return rows.map((row, n) => note(`${row.label}<br>${row.text}`, { y: n, yshift: 9, align: "left" }));
  return rows.flatMap((row, n) => [
    note(row.label, { y: n, yshift: 9 }),
    note(row.text, { y: n, yshift: 9, x: 1, xanchor: "right" }),
  ]);
}

function rowLayout(chart) {
  const count = chart.rows.length;
  return layout(70 + (narrow.matches ? 68 : 50) * count, {
    annotations: rowNotes(chart.rows),
    xaxis: { title: { text: chart.axis } },
    yaxis: { range: [count - 0.6, -0.8], showticklabels: false, showgrid: false, fixedrange: true },
  });
}

function final(chart) {
  const traces = chart.rows.map((row, n) => ({
    x: row.values, y: row.values.map(() => n), mode: "markers", name: row.label,
    marker: { color: groupColour(n), size: 10, opacity: 0.85, line: { color: colour("card"), width: 1 } },
    text: row.seeds, hovertemplate: "%{fullData.name}<br>seed %{text}: %{x:.5~g}<extra></extra>",
  }));
  chart.rows.forEach((row, n) => {
    if (row.interval.length) {
      traces.push({
        x: [row.mean], y: [n + 0.2], mode: "markers", name: row.label,
        marker: { symbol: "line-ns-open", size: 12, color: colour("ink"), line: { width: 2 } },
        error_x: { type: "data", symmetric: false, array: [row.interval[1] - row.mean],
          arrayminus: [row.mean - row.interval[0]], color: colour("ink"), thickness: 1.3, width: 4 },
        hovertemplate: `%{fullData.name}<br>mean %{x:.5~g}, 95 % CI ${row.interval.map((x) => x.toFixed(2)).join(" to ")}<extra></extra>`,
      });
    }
  });
  return [traces, rowLayout(chart)];
}

function gap(chart) {
  const traces = chart.rows.flatMap((row, n) => {
    const own = { y: [n, n], name: row.label, x: row.values };
    return [
      { ...own, mode: "lines", line: { color: groupColour(n), width: 2.5 }, opacity: 0.5, hoverinfo: "skip" },
      { ...own, mode: "markers", text: [chart.images, "train"],
        marker: { color: [groupColour(n), colour("card")], size: 10, line: { color: groupColour(n), width: 2 } },
        hovertemplate: "%{fullData.name}<br>%{text}: %{x:.5~g}<extra></extra>" },
    ];
  });
  return [traces, rowLayout(chart)];
}

/** One line, and the band between its lowest and its highest seed. */
function lineTraces(chart, line, choice, named) {
  const x = choice.x === "time" ? line.seconds.map((value) => value / 60) : line[`${choice.x}s`];
  const own = {
    x, xaxis: "x", yaxis: line.panel ? `y${line.panel + 1}` : "y", legendgroup: line.group,
    name: chart.labels[line.group],
  };
  const edge = { ...own, mode: "lines", line: { width: 0 }, showlegend: false, hoverinfo: "skip" };
  const band = line.low.length ? [
    { ...edge, y: line.low },
    { ...edge, y: line.high, fill: "tonexty", fillcolor: faded(groupColour(line.group)) },
  ] : [];
  const unit = choice.x === "time" ? "%{x:.3~g} min" : `${choice.x} %{x:.6~g}`;
  return [...band, {
    ...own, y: line.values, showlegend: named, mode: x.length === 1 ? "markers" : "lines",
    line: { color: groupColour(line.group), width: line.finished ? 2 : 1,
      dash: DASHES[Math.floor(line.group / 7) % 4], shape: line.held ? "hv" : "linear" },
    hovertemplate: `%{fullData.name}<br>${unit}: %{y:.5~g}<extra></extra>`,
  }];
}

function curves(chart, choice) {
  const seen = new Set();
  const traces = chart.lines.flatMap((line) => {
    const named = !seen.has(line.group);
    seen.add(line.group);
    return lineTraces(chart, line, choice, named);
  });
  // From top to bottom; the last panel is half as high again as each other one.
  const share = 1 / (chart.panels.length + 0.5);
  const axes = {};
  chart.panels.forEach((panel, n) => {
    const top = 1 - n * share;
    const last = n === chart.panels.length - 1;
    const log = choice[panel.kind] === "log";
    axes[n ? `yaxis${n + 1}` : "yaxis"] = {
      domain: [last ? 0 : top - share + 0.055, top],
      type: log ? "log" : "linear",
      exponentformat: "power",
      ...(panel.kind === "lr" && !log ? { rangemode: "tozero" } : {}),
      ...(panel.kind === "accuracy" && chart.lowest !== null ? { autorangeoptions: { minallowed: chart.lowest } } : {}),
    };
  });
  const titles = chart.panels.map((panel, n) => note(`<b>${panel.title}</b>`, {
    y: 1 - n * share, yref: "paper", yshift: 4 }));
  const bottom = chart.panels.length > 1 ? `y${chart.panels.length}` : "y";
  const names = { epoch: "completed epochs", step: "completed steps", time: "minutes" };
  const keys = narrow.matches ? 22 * seen.size : 0;
  return [traces, layout(200 * (chart.panels.length + 0.5) + keys, {
    annotations: titles, showlegend: true, hovermode: "closest",
    legend: narrow.matches ? { y: -0.08, yanchor: "top", x: 0, orientation: "v" } : { groupclick: "togglegroup" },
    xaxis: { anchor: bottom, title: { text: names[choice.x] }, rangemode: "tozero" }, ...axes,
  })];
}

function search(chart) {
  const dots = { y: chart.values, text: chart.labels, mode: "markers", marker: { size: 9, color: colour("group0") } };
  const side = narrow.matches;
  const traces = [
    { ...dots, x: chart.numbers, hovertemplate: "trial %{x}: %{y:.5~g}<br>%{text}<extra></extra>" },
    { x: chart.numbers, y: chart.best, mode: "lines", line: { shape: "hv", color: colour("group1") },
      hovertemplate: "best so far: %{y:.5~g}<extra></extra>" },
    { ...dots, x: chart.lrs, xaxis: "x2", yaxis: "y2", hovertemplate: "LR %{x:.3~g}: %{y:.5~g}<br>%{text}<extra></extra>" },
  ];
  return [traces, layout(side ? 680 : 380, {
    xaxis: { domain: side ? [0, 1] : [0, 0.46], anchor: "y", title: { text: "trial" } },
    yaxis: { domain: side ? [0.6, 1] : [0, 1], title: { text: chart.axis } },
    xaxis2: { domain: side ? [0, 1] : [0.54, 1], anchor: "y2", type: "log", title: { text: "initial learning rate" } },
    yaxis2: { domain: side ? [0, 0.4] : [0, 1], anchor: "x2", matches: "y" },
  })];
}

const DRAWERS = { final, gap, curves, search };

function draw(element) {
  const section = element.closest("section");
  const choice = Object.fromEntries(
    [...section.querySelectorAll("select")].map((select) => [select.dataset.axis, select.value]));
  const [traces, shape] = DRAWERS[element.dataset.chart](
    parts[element.dataset.part - 1][element.dataset.chart], choice);
  // Kept while the axes are: what is hidden, and where one has zoomed to.
  shape.uirevision = JSON.stringify(choice);
  shape.legend = { ...shape.legend, uirevision: "kept" };
  Plotly.react(element, traces, shape, {
    responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] });
}

/** What a cell is sorted by: a number (durations in seconds), or its text. */
function sortKey(cell) {
  const text = cell.textContent.trim().replaceAll("\u2212", "-").replaceAll(",", "");
  if (/^\d+(:\d\d)+$/.test(text)) return text.split(":").reduce((sum, part) => 60 * sum + Number(part), 0);
  const number = Number.parseFloat(text.replace(/^< ?/, ""));
  return Number.isNaN(number) ? null : number;
}

function sortBy(header) {
  const column = header.cellIndex;
  const body = header.closest("table").tBodies[0];
  const up = header.getAttribute("aria-sort") === "descending";
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const text = header.classList.contains("text");
  const key = (row) => (text ? row.cells[column].textContent.trim() : sortKey(row.cells[column]));
  const order = text ? new Intl.Collator("en", { numeric: true }).compare : (a, b) => a - b;
  const rows = [...body.rows].sort((a, b) => {
    const [one, other] = [key(a), key(b)];
    if (one === null || other === null) return (one === null) - (other === null);
    return up ? order(one, other) : order(other, one);
  });
  body.append(...rows);
}

async function start() {
  for (const header of document.querySelectorAll("thead th")) {
    header.firstElementChild.addEventListener("click", () => sortBy(header));
  }
  await loadPlotly();
  const charts = [...document.querySelectorAll(".chart")];
  for (const element of charts) {
    draw(element);
    for (const select of element.closest("section").querySelectorAll("select")) {
      select.addEventListener("change", () => draw(element));
    }
  }
  for (const query of [dark, narrow]) query.addEventListener("change", () => charts.forEach(draw));
}

start();
