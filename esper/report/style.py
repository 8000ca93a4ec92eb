"""The style sheet of the page, light or dark as the reader prefers."""

CSS = """
:root { color-scheme: light dark; --ink: #20262e; --dim: #5d6772; --paper: #ffffff;
  --card: #f4f6f8; --line: #d9dee3; --accent: #2a6fb0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --dim: #9aa5b0; --paper: #14181d; --card: #1d232a; --line: #333c46;
    --accent: #79b4e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 66rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .3rem 0; }
.dim { color: var(--dim); }
.path { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .85rem;
  overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr));
  gap: .7rem; margin: 1.3rem 0; }
.card { background: var(--card); border-radius: .5rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.3rem; font-weight: 650; line-height: 1.25; }
.card span { color: var(--dim); font-size: .82rem; }
figure { margin: 1.2rem 0; overflow-x: auto; }
figure svg { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
td.name { white-space: nowrap; }
details { margin: .6rem 0; } summary { cursor: pointer; color: var(--accent); }
pre { background: var(--card); border-radius: .5rem; padding: .9rem; overflow-x: auto;
  font-size: .82rem; line-height: 1.45; }
"""
