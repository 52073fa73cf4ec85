//! How public names are made.

use sha2::{Digest as _, Sha256};

/// The longest public name in bytes: what the tool interfaces of model providers accept.
pub(super) const LONGEST: usize = 64;

/// Between a server's prefix and its own name.
pub(super) const SEPARATOR: &str = "__";

/// `prefix` and `own` joined, shortened with a hash of the whole when too long. Deterministic and, the hash being 40
/// bits, unambiguous for every real set of tools.
pub(super) fn join(prefix: &str, own: &str) -> String {
    let whole = format!("{prefix}{own}");
    if whole.len() <= LONGEST || prefix.is_empty() {
        return whole;
    }
    let digest = Sha256::digest(whole.as_bytes());
    let hash = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut kept = LONGEST - hash.len() - 1;
    while !whole.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}_{hash}", whole.get(..kept).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        assert_eq!(join("time__", "now"), "time__now");
        let a = join("time__", &"x".repeat(80));
        let b = join("time__", &format!("{}y", "x".repeat(79)));
        assert_eq!(a.len(), LONGEST);
        assert!(a.starts_with("time__xxx") && a != b);
        assert_eq!(join("t__", &"é".repeat(60)).len(), LONGEST);
        assert_eq!(join("", &"x".repeat(80)).len(), 80, "a server alone keeps its own names");
    }
}
