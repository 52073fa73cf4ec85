//! Reading files that people write: YAML or JSON text into typed values, and what is wrong with it as a [`Diagnostic`].
//!
//! Knows no file format: [`crate::config`], [`crate::catalog`] and [`crate::secrets`] bring the types. Every limit on
//! hostile input (alias bombs, depth, size) is set here, once.

mod diagnostic;
mod text;
pub mod units;
mod yaml;

pub use diagnostic::{Diagnostic, Place, render};
pub use text::{EnvList, Text};
pub use yaml::{Source, Spanned};

/// The candidate a person most likely meant by `word`, when one is close enough to offer.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_words_are_offered() {
        let keys = ["image", "process", "remote", "url", "env"];
        assert_eq!(closest("imgae", keys), Some("image"));
        assert_eq!(closest("Remote", keys), Some("remote"));
        assert_eq!(closest("qqq", keys), None);
    }
}
