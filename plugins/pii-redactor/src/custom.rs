//! Patterns of the operator's: `#` is a digit, `?` any character, `\` takes the next one literally, and the rest is itself,
//! upper and lower case alike. No regular expressions: every call starts with fresh memory, and compiling one takes longer
//! than the call.

/// One pattern, ready to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// What it stands for in a label.
    pub(crate) name: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Digit,
    Any,
    Exactly(char),
}

/// The longest pattern, in characters, and the most patterns: what bounds the time for each byte of a text.
pub(crate) const LONGEST: usize = 64;
pub(crate) const MOST: usize = 32;

impl Pattern {
    /// Reads a pattern; says what is wrong with it.
    pub(crate) fn new(name: &str, pattern: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '#' => Part::Digit,
                '?' => Part::Any,
                '\\' => Part::Exactly(chars.next().ok_or("ends with `\\`; write `\\\\` for one")?),
                c => Part::Exactly(c.to_ascii_lowercase()),
            });
        }
        Self::checked(name, parts)
    }

    /// A pattern that is this text.
    pub(crate) fn literal(name: &str, text: &str) -> Result<Self, String> {
        Self::checked(name, text.chars().map(|c| Part::Exactly(c.to_ascii_lowercase())).collect())
    }

    fn checked(name: &str, parts: Vec<Part>) -> Result<Self, String> {
        match parts.len() {
            _ if parts.iter().filter(|part| **part != Part::Any).count() < 3 => {
                Err("needs three characters or more besides `?`".into())
            }
            0..=LONGEST => Ok(Self { name: name.to_owned(), parts }),
            _ => Err(format!("is longer than {LONGEST} characters")),
        }
    }

    /// The bytes that it matches at the start of `rest`, where `before` is what stands before. Only whole words.
    pub(crate) fn matches(&self, before: Option<char>, rest: &str) -> Option<usize> {
        let mut chars = rest.chars();
        let (mut length, mut last) = (0, None);
        for part in &self.parts {
            let c = chars.next()?;
            let fits = match part {
                Part::Digit => c.is_ascii_digit(),
                Part::Any => true,
                Part::Exactly(exactly) => c.eq_ignore_ascii_case(exactly),
            };
            if !fits {
                return None;
            }
            length += c.len_utf8();
            last = Some(c);
        }
        let splits = |a: Option<char>, b: Option<char>| {
            a.zip(b).is_some_and(|(a, b)| a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric())
        };
        (!splits(before, rest.chars().next()) && !splits(last, chars.next())).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_words() {
        let found = |pattern: &str, text: &str| Pattern::new("x", pattern).unwrap().matches(None, text);
        assert_eq!(found("EMP-####", "EMP-1234"), Some(8));
        assert_eq!(found("EMP-####", "emp-1234."), Some(8));
        assert_eq!(found("EMP-####", "EMP-12345"), None);
        assert_eq!(found("EMP-####", "EMP-12x4"), None);
        assert_eq!(found("AB?C", "abäc"), Some(5));
        assert_eq!(found(r"A\#1", "A#1"), Some(3));
        assert_eq!(Pattern::new("x", "###").unwrap().matches(Some('1'), "234"), None);
        assert_eq!(Pattern::literal("x", "Project #1?").unwrap().matches(Some(' '), "project #1?"), Some(11));
    }

    #[test]
    fn patterns_that_match_everything_are_refused() {
        for pattern in ["", "??", "????#", "ab", r"abc\"] {
            assert!(Pattern::new("x", pattern).is_err(), "{pattern}");
        }
        assert!(Pattern::new("x", &"a".repeat(65)).is_err());
    }
}
