//! Why an entry cannot be started as it stands.

/// One reason, said to a person. Never holds a value that might be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Refusal {
    /// A refusal with these words: a lower-case fragment with its cure.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}
