//! Foreign text and numbers, made fit for a page.

use wire::Timestamp;

/// Most characters of a name that are shown.
pub const NAME_MAX: usize = 120;

/// Text that can stand in an element or a quoted attribute, whatever it holds: markup is escaped, control characters and
/// marks that turn the direction of reading become U+FFFD.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            // Not allowed in XML, escaped or not.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// [`escape`]d, and at most `max` characters long before that.
#[must_use]
pub fn clipped(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => escape(text),
        Some(_) => {
            let kept: String = text.chars().take(max.saturating_sub(1)).collect();
            format!("{}…", escape(&kept))
        }
    }
}

/// `12 %`, `0.4 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    let p = 100.0 * share;
    let size = p.abs();
    if !p.is_finite() {
        "–".to_owned()
    } else if size >= 9.95 {
        format!("{p:.0} %")
    } else if !(0.005..0.095).contains(&size) {
        format!("{p:.1} %")
    } else {
        format!("{p:.2} %")
    }
}

/// `+3.1`: a difference of shares in points, signed.
#[must_use]
pub fn points(difference: f64) -> String {
    let p = 100.0 * difference;
    if !p.is_finite() {
        "–".to_owned()
    } else if p.abs() < 0.005 {
        "0".to_owned()
    } else if p.abs() >= 9.95 {
        format!("{p:+.0}")
    } else if p.abs() >= 0.095 {
        format!("{p:+.1}")
    } else {
        format!("{p:+.2}")
    }
}

/// `2026-03-02 08:00`, in UTC.
#[must_use]
pub fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        (None, _) | (_, None) => escape(&text),
    }
}

/// `40 s`, `12 min`, `3.5 h`, `9 days`, `3 years`.
#[must_use]
pub fn span(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "ever".to_owned(),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s if s < 63_072_000.0 => format!("{:.0} days", s / 86_400.0),
        s if s < 3.2e10 => format!("{:.1} years", s / 31_557_600.0),
        _ => "over a thousand years".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_marks_are_only_text() {
        assert_eq!(
            escape("<script>'\"&\u{202e}\u{0}\u{1b}é"),
            "&lt;script&gt;&#39;&quot;&amp;\u{fffd}\u{fffd}\u{fffd}é"
        );
        assert_eq!(clipped("<<<<", 3), "&lt;&lt;…");
        assert_eq!(clipped("abc", 3), "abc");
    }

    #[test]
    fn numbers_for_people() {
        for (share, want) in
            [(0.0, "0.0 %"), (0.0004, "0.04 %"), (0.031, "3.1 %"), (0.5, "50 %"), (f64::NAN, "–")]
        {
            assert_eq!(percent(share), want);
        }
        for (share, want) in [(0.0, "0"), (0.031, "+3.1"), (-0.2, "-20"), (0.0004, "+0.04")] {
            assert_eq!(points(share), want);
        }
        for (s, want) in [
            (40.0, "40 s"),
            (720.0, "12 min"),
            (864_000.0, "10 days"),
            (1e9, "31.7 years"),
            (f64::INFINITY, "ever"),
        ] {
            assert_eq!(span(s), want);
        }
        let at: Timestamp = "2026-03-02T08:05:09Z".parse().unwrap();
        assert_eq!(minute(at), "2026-03-02 08:05");
    }
}
