//! The numbers of a picture, for whoever reads rather than looks.

use super::{Series, unjudged};
use crate::text;

/// One row a column.
pub(super) fn numbers(series: &Series<'_>) -> String {
    let mut out = String::from(
        "<details><summary>Numbers</summary><div class=\"numbers\"><table><thead><tr><th>from (UTC)</th><th>k of n</th>\
         <th>share</th><th>reference</th><th>effect, its limits (points)</th><th>D page</th><th>D ticket</th><th>verdict</th>\
         </tr></thead><tbody>",
    );
    for column in series.columns.iter() {
        let share = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), text::percent);
        let now = column.excess().zip(column.reference()).map(|(excess, reference)| excess + reference);
        let effect = column.effect.map_or_else(String::new, |e| {
            format!("{} [{}, {}]", text::points(e.estimate), text::points(e.lower), text::points(e.upper))
        });
        let verdict = format!("{:?}", column.verdict).to_lowercase();
        let [page, ticket] = column.peak;
        put!(
            out,
            "<tr><td>{}</td><td>{} of {}</td><td>{}</td><td>{}</td><td>{effect}</td><td>{page:.2e}</td><td>{ticket:.2e}</td><td>{}</td></tr>",
            text::minute(column.from),
            column.k,
            column.n,
            share(now),
            share(column.reference()),
            unjudged(column.verdict).unwrap_or(&verdict),
        );
    }
    out.push_str("</tbody></table></div></details>");
    out
}
