//! What `tocsin init` writes.

/// A commented config that works as it stands: embedded log, a local inbox, false pages at most one a week.
pub const TEMPLATE: &str = include_str!("tocsin.toml");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn passes_its_own_check() {
        if let Err(faults) = super::super::parse(Path::new("tocsin.toml"), TEMPLATE) {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        }
    }
}
