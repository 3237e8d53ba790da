//! Where values lie now and lay in the reference: the same bins, as shares.

use wire::history::Bin;

use crate::axis::{LEFT, RIGHT, Values, WIDTH};
use crate::columns::float;
use crate::text::{self, NAME_MAX, clipped, escape};

const TOP: f64 = 16.0;
const BOTTOM: f64 = 112.0;
const HEIGHT: f64 = 132.0;
/// Bars that have room; the rest, of least share, is summed up in one.
const BARS_MAX: usize = 40;

/// Bars of the shares now, the outline of the reference over them. Shares of each sum to 1, whatever the sizes.
#[must_use]
pub fn distribution(id: usize, title: &str, bins: &[Bin]) -> String {
    let all = bins.iter().fold(0_u64, |sum, bin| sum.saturating_add(bin.now));
    let shares = shares(bins, all);
    let most = shares.iter().fold(0.0_f64, |most, (_, was, now)| most.max(*was).max(*now));
    let values = Values::new([0.0, (1.08 * most).clamp(0.01, 1.08)], TOP, BOTTOM);
    let step = (RIGHT - LEFT) / float(shares.len().max(1) as u64);
    let (mut bars, mut outline, mut moved, mut rows) =
        (String::new(), String::new(), String::new(), String::new());
    for (i, (name, was, now)) in shares.iter().enumerate() {
        let a = LEFT + step * float(i as u64);
        let (zero, top, y) = (values.y(0.0), values.y(*now), values.y(*was));
        put!(
            bars,
            "<rect class=\"now\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{}: {} now, {} in \
             the reference</title></rect>",
            a + 0.1 * step,
            0.8 * step,
            (zero - top).max(0.0),
            clipped(name, NAME_MAX),
            text::percent(*now),
            text::percent(*was)
        );
        put!(outline, "M{a:.1} {y:.1}h{step:.1}M{a:.1} {zero:.1}V{y:.1}M{:.1} {zero:.1}V{y:.1}", a + step);
        if clears(*was, *now, all) {
            let arrow = if now > was { '▲' } else { '▼' };
            let at = top.min(y) - 2.0;
            put!(
                moved,
                "<text class=\"say\" x=\"{:.1}\" y=\"{at:.1}\" text-anchor=\"middle\">{arrow}</text>",
                a + 0.5 * step
            );
        }
        put!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            clipped(name, NAME_MAX),
            text::percent(*was),
            text::percent(*now)
        );
    }
    let ends = [shares.first(), shares.last()]
        .map(|end| end.map_or_else(String::new, |(name, ..)| clipped(name, 28)));
    let title = escape(title);
    format!(
        "<figure class=\"plot\"><figcaption>{title}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"t{id} d{id}\"><title id=\"t{id}\">{title}</title>\
         <desc id=\"d{id}\">Shares of {} bins: bars are {all} records now, the outline is the reference. The numbers are in \
         the table below.</desc>\
         <text x=\"{LEFT}\" y=\"9\">share of records by bin: ■ now ({all} records), □ reference</text>{}{bars}\
         <path class=\"was\" d=\"{outline}\"/>{moved}\
         <text x=\"{LEFT}\" y=\"{:.1}\">{}</text><text x=\"{RIGHT}\" y=\"{:.1}\" text-anchor=\"end\">{}</text></svg>\
         <details><summary>Numbers</summary><div class=\"numbers\"><table><thead><tr><th>bin</th><th>reference</th><th>now</th>\
         </tr></thead><tbody>{rows}</tbody></table></div></details></figure>",
        bins.len(),
        values.draw(text::percent),
        BOTTOM + 14.0,
        ends[0],
        BOTTOM + 14.0,
        ends[1],
    )
}

/// Name, share in the reference, share now. Of too many bins the rarest are one.
fn shares(bins: &[Bin], all: u64) -> Vec<(String, f64, f64)> {
    let total = bins.iter().map(|bin| bin.reference.max(0.0)).sum::<f64>();
    let was = |bin: &Bin| if total > 0.0 { bin.reference.max(0.0) / total } else { 0.0 };
    let now = |bin: &Bin| if all > 0 { float(bin.now) / float(all) } else { 0.0 };
    let mut order: Vec<usize> = (0..bins.len()).collect();
    order.sort_by(|a, b| {
        let weight = |i: usize| was(&bins[i]).max(now(&bins[i]));
        weight(*b).total_cmp(&weight(*a)).then(a.cmp(b))
    });
    let rest = order.split_off(order.len().min(BARS_MAX));
    order.sort_unstable();
    let mut shares: Vec<_> =
        order.iter().map(|&i| (bins[i].name.clone(), was(&bins[i]), now(&bins[i]))).collect();
    if !rest.is_empty() {
        let sum = |of: &dyn Fn(&Bin) -> f64| rest.iter().map(|&i| of(&bins[i])).sum::<f64>();
        shares.push((format!("{} more", rest.len()), sum(&was), sum(&now)));
    }
    shares
}

/// Whether a share is further from the reference than three standard errors: worth an arrow.
fn clears(was: f64, now: f64, all: u64) -> bool {
    let p = now.max(was).clamp(0.0, 1.0);
    all > 0 && (now - was).abs() > 3.0 * ((p * (1.0 - p)).max(1.0 / float(all)) / float(all)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(name: &str, reference: f64, now: u64) -> Bin {
        Bin { name: name.into(), reference, now }
    }

    #[test]
    fn shares_sum_to_one_whatever_the_sizes() {
        let many: Vec<Bin> = (0..200).map(|i| bin(&format!("b{i}"), 0.005, i)).collect();
        for bins in [many, vec![bin("a", 0.2, 3), bin("b", 0.8, 9_999_999)], vec![bin("only", 1.0, 1)]] {
            let all = bins.iter().map(|b| b.now).sum();
            let shares = shares(&bins, all);
            assert!(shares.len() <= BARS_MAX + 1);
            let sums = shares.iter().fold([0.0, 0.0], |s, (_, was, now)| [s[0] + was, s[1] + now]);
            assert!(sums.iter().all(|sum| (sum - 1.0_f64).abs() < 1e-3), "{sums:?}");
        }
    }

    #[test]
    fn hostile_bins_and_no_data_stay_a_picture() {
        let svg = distribution(3, "a <b>", &[bin("</title><script>", 0.5, 60), bin("ok", 0.5, 0)]);
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;") && svg.contains("a &lt;b&gt;"));
        assert!(svg.contains('▲') && svg.contains('▼'));
        for bins in [vec![], vec![bin("a", 0.0, 0)], vec![bin("a", f64::NAN, 5)]] {
            let svg = distribution(4, "", &bins);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
