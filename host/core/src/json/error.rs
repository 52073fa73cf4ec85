//! What was wrong with a text, and where.

/// Why bytes are not one acceptable JSON value. Never quotes the text: it may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct JsonError {
    /// Where the trouble starts, in bytes from the beginning of the text.
    pub offset: usize,
    /// What it is.
    pub kind: JsonErrorKind,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// Not UTF-8 (RFC 8259 section 8.1).
    #[error("invalid UTF-8")]
    Utf8,
    /// The text ends inside the value.
    #[error("unexpected end")]
    End,
    /// Something else than the grammar allows here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A control character inside a string, unescaped.
    #[error("control character in a string")]
    Control,
    /// A backslash followed by something that is no escape.
    #[error("invalid escape")]
    Escape,
    /// Something after the value.
    #[error("text after the value")]
    Trailing,
    /// Half of a surrogate pair: grammatical, but no character (RFC 8259 section 8.2).
    #[error("lone surrogate")]
    LoneSurrogate,
    /// A name that its object already has, compared after unescaping (RFC 8259 section 4: "SHOULD be unique").
    #[error("duplicate member")]
    DuplicateMember,
    /// Nested deeper than [`super::MAX_DEPTH`].
    #[error("nested too deeply")]
    TooDeep,
    /// 4 GiB or more.
    #[error("too long")]
    TooLong,
}

impl JsonErrorKind {
    /// Whether the text is not JSON at all. Otherwise it is grammatical, but refused by a stricter rule of ours.
    pub const fn is_syntax(self) -> bool {
        !matches!(self, Self::LoneSurrogate | Self::DuplicateMember | Self::TooDeep | Self::TooLong)
    }
}
