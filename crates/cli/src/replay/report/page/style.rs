//! The page around the pictures.

/// Goes with [`plot::CSS`], whose variables it uses.
pub(super) const PAGE: &str = "
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:1rem;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.35rem;line-height:1.2;margin:.2em 0;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:1.6em 0 .5em;border-bottom:1px solid var(--rule);padding-bottom:.2em}
h3{font-size:1rem;margin:1.4em 0 .4em;overflow-wrap:anywhere}
.lead{font-size:1.02rem;margin:.4em 0 1em;max-width:80ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1em;margin:0;color:var(--dim)}
dt{font-weight:600}
dd{margin:0;overflow-wrap:anywhere}
.wide{overflow-x:auto;margin:0 0 .8em}
main table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92em}
.wide th,.wide td{padding:.3em .9em .3em 0;text-align:left;vertical-align:top;white-space:nowrap;border-bottom:1px solid var(--rule)}
.wide .n{text-align:right}
.wide .what{white-space:normal;min-width:20rem;overflow-wrap:anywhere}
.is-page{color:var(--page);font-weight:700}
.is-ticket{color:var(--ticket);font-weight:600}
.note{color:var(--dim);font-size:.9em;max-width:80ch}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr));gap:1rem;align-items:start}
.card{background:var(--sheet);border:1px solid var(--rule);border-radius:6px;padding:.7rem;min-width:0}
.card .note{margin:0 0 .2em}
.card .plot+.plot{margin-top:1rem}
summary{cursor:pointer}
footer{margin-top:2rem;color:var(--dim);font-size:.85em;overflow-wrap:anywhere}
a,summary:focus-visible{color:inherit}
@media print{.card{break-inside:avoid}}
@media (max-width:640px){body{padding:.6rem}
.incidents thead{display:none}
.incidents tr{display:grid;gap:0 .8em;padding:.5em 0;border-bottom:1px solid var(--rule)}
.incidents td{border:0;padding:.05em 0;white-space:normal}
.incidents td.n{text-align:left}
.incidents td[data-l]::before{content:attr(data-l);display:inline-block;width:5.5em;color:var(--dim)}
.incidents td.what{min-width:0;order:-1;font-weight:600}}
";
