"""How report.html looks: light and dark, from 320 px up. No font and no file from elsewhere."""

STYLESHEET = """\
:root {
  color-scheme: light dark;
  --page: #f5f6f8; --card: #ffffff; --ink: #1c2430; --soft: #566170; --rule: #dfe3e9;
  --accent: #0a5f9e; --accent-soft: #e6f0f8; --warn: #8a5200; --warn-soft: #fff5e3;
  --warn-rule: #efcf97; --shade: rgba(20, 30, 45, .16);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161c; --card: #1b2129; --ink: #e8ecf1; --soft: #9fabb9; --rule: #303844;
    --accent: #7cc0f5; --accent-soft: #1b3247; --warn: #f3c06a; --warn-soft: #2e2614;
    --warn-rule: #5c4a20; --shade: rgba(0, 0, 0, .55);
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
p, li, h1, h2, figcaption { overflow-wrap: anywhere; }
.kicker { margin: 0 0 8px; color: var(--soft); font-size: 14px; }
h1 { margin: 0 0 14px; max-width: 26em; font-size: 34px; line-height: 1.2;
  letter-spacing: -.015em; }
h2 { margin: 0 0 4px; font-size: 20px; line-height: 1.3; letter-spacing: -.005em; }
.lead { margin: 0; max-width: 46em; font-size: 18px; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; margin: 28px 0 0;
  padding: 0; }
.tiles div { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 14px 18px; }
.tiles dt { color: var(--soft); font-size: 13px; line-height: 1.35; }
.tiles dd { margin: 2px 0 0; font-size: 25px; font-weight: 650; line-height: 1.25;
  font-variant-numeric: tabular-nums; letter-spacing: -.01em; }
.warnings { margin: 20px 0 0; padding: 14px 20px; background: var(--warn-soft);
  border: 1px solid var(--warn-rule); border-radius: 10px; font-size: 15px; }
.warnings h2 { font-size: 15px; color: var(--warn); }
.warnings ul { margin: 4px 0 0; padding-left: 1.2em; }
section, details { margin: 20px 0 0; padding: 22px 24px; background: var(--card);
  border: 1px solid var(--rule); border-radius: 10px; }
details.inner { margin: 14px 0 0; padding: 0; border: 0; }
.inner summary { font-size: 15px; color: var(--accent); }
.note { margin: 0 0 4px; color: var(--soft); font-size: 14px; }
.kicker span { white-space: nowrap; }
/* A shadow at the edge where a table goes on. */
.scroll { overflow-x: auto; margin: 10px -24px 0; padding: 0 24px;
  background:
    linear-gradient(to right, var(--card) 40%, transparent) 0 0 / 40px 100% no-repeat local,
    linear-gradient(to left, var(--card) 40%, transparent) 100% 0 / 40px 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) 0 0 / 14px 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) 100% 0 / 14px 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
table { width: 100%; border-collapse: collapse; font-size: 14.5px; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: 8px 0 8px 20px; border-bottom: 1px solid var(--rule); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child { padding-left: 0; }
tr:last-child > * { border-bottom: 0; }
thead th { color: var(--soft); font-size: 13px; font-weight: 500; vertical-align: bottom; }
th.text, td.text { text-align: left; }
tbody th { font-weight: 500; }
tbody th, td.text { white-space: normal; overflow-wrap: break-word; min-width: min(13em, 36vw);
  max-width: 30em; }
td.long { min-width: 18em; }
.first > * { font-weight: 650; }
.readings { margin: 14px 0 0; padding-left: 1.2em; max-width: 56em; font-size: 15px; }
.readings li + li { margin-top: 5px; }
figure { margin: 12px 0 0; }
figure img { display: block; width: 100%; height: auto; }
.paper { background: #fff; border: 1px solid var(--rule); border-radius: 8px; padding: 10px; }
figcaption { margin-top: 8px; color: var(--soft); font-size: 14px; max-width: 60em; }
summary { cursor: pointer; font-size: 17px; font-weight: 600; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
code { font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
.settings { margin: 10px 0 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap;
  gap: 6px; }
.settings li { padding: 1px 8px; background: var(--accent-soft); border-radius: 5px;
  max-width: 100%; overflow-wrap: anywhere; }
footer { margin: 28px 0 0; color: var(--soft); font-size: 14px; }
footer ul { margin: 0; padding: 0; list-style: none; }
footer li { overflow-wrap: anywhere; }
@media (max-width: 640px) {
  main { padding: 24px 14px 40px; }
  h1 { font-size: 26px; }
  .lead { font-size: 16.5px; }
  .tiles { grid-template-columns: repeat(2, 1fr); gap: 10px; }
  .tiles div { padding: 12px 14px; }
  .tiles dd { font-size: 21px; }
  section, details:not(.inner) { padding: 18px 16px; }
  .scroll { margin: 10px -16px 0; padding: 0 16px; }
  .paper { padding: 6px; }
  th, td { padding-left: 16px; }
  tbody th { overflow-wrap: anywhere; }
}
@media print { body { background: #fff; } section, details { break-inside: avoid; } }
"""
