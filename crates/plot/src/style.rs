//! Colours and strokes.

/// The style of every picture, light and dark. The page that shows them includes it once.
///
/// Colours are those of Okabe and Ito, which people with any colour vision can tell apart; no state is told by colour
/// alone: what cannot be judged is hatched, pages and tickets have marks of their own.
pub const CSS: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--paper:#fff;--sheet:#f6f8fa;--rule:#d0d7de;
--line:#0072b2;--band:#0072b2;--floor:#c04a00;--page:#c04a00;--ticket:#8a6d00;--shade:.13;--hatch:#8c959f}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa4ae;--paper:#0d1117;--sheet:#161b22;--rule:#30363d;
--line:#6cb6ff;--band:#6cb6ff;--floor:#ff9757;--page:#ff9757;--ticket:#e3b341;--shade:.22;--hatch:#6e7681}}
.plot{margin:0;min-width:0}
.plot figcaption{font-weight:600;margin:0 0 .3em;overflow-wrap:anywhere}
.plot svg{display:block;width:100%;height:auto;font:10.5px/1 system-ui,sans-serif;fill:var(--dim)}
.plot .axis path{stroke:var(--rule);fill:none}
.plot .axis .grid{stroke-dasharray:1 3}
.plot .line{fill:none;stroke:var(--line);stroke-width:1.3;stroke-linejoin:round}
.plot .dot{fill:var(--line)}
.plot .whisker{stroke:var(--line);stroke-width:.8;opacity:.35;fill:none}
.plot .band{fill:var(--band);opacity:.25;stroke:none}
.plot .estimate{fill:none;stroke:var(--ink);stroke-width:1.2}
.plot .reference{stroke:var(--dim);stroke-width:1;fill:none}
.plot .floor{stroke:var(--floor);stroke-width:1.3;fill:none}
.plot .say{fill:var(--floor)}
.plot .page{fill:var(--page)}
.plot .ticket{fill:var(--ticket)}
.plot .shade{opacity:var(--shade)}
.plot .mark{opacity:1;stroke:var(--paper);stroke-width:.8}
.plot .d0{fill:none;stroke:var(--page);stroke-width:1.4}
.plot .d1{fill:none;stroke:var(--ticket);stroke-width:1.2;stroke-dasharray:3 2}
.plot .hatch path{stroke:var(--hatch);stroke-width:1;fill:none}
.plot .edge{stroke:var(--dim);stroke-width:1;stroke-dasharray:2 2;fill:none}
.plot .was{fill:none;stroke:var(--ink);stroke-width:1.3}
.plot .now{fill:var(--line);opacity:.55}
.plot .p1{stroke-dasharray:5 2}
.plot .p2{stroke-dasharray:1.5 2}
.plot details{font-size:.85em;color:var(--dim);margin:.2em 0 0}
.plot .numbers{overflow-x:auto;max-height:20em}
.plot table{border-collapse:collapse;font-variant-numeric:tabular-nums}
.plot th,.plot td{padding:.1em .6em .1em 0;text-align:right;white-space:nowrap}
.plot th:first-child,.plot td:first-child{text-align:left}
@media print{.plot .numbers{max-height:none}}
@media (forced-colors:active){.plot .line,.plot .d0,.plot .d1,.plot .floor{stroke:CanvasText}}
";
