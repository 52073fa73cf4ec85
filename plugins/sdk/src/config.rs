//! The configuration an operator wrote, as a plugin takes it.

#[cfg(feature = "serde")]
use crate::Problem;

/// A plugin's configuration: JSON text, `{}` when there is none. The gateway has checked it against the descriptor's schema.
#[derive(Debug, Clone, Copy)]
pub struct Config<'a>(&'a str);

impl<'a> Config<'a> {
    /// Takes JSON text; empty text is `{}`.
    pub fn new(json: &'a str) -> Self {
        Self(if json.trim().is_empty() { "{}" } else { json })
    }

    /// As JSON text.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Whether nothing was configured.
    pub fn is_empty(self) -> bool {
        matches!(self.0.trim(), "{}" | "null")
    }

    /// As a type of yours. Let it `#[serde(default, deny_unknown_fields)]`, and operators get good messages.
    ///
    /// # Errors
    /// What does not fit, as the one problem that `configure` answers.
    #[cfg(feature = "serde")]
    pub fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, Vec<Problem>> {
        let text = if self.0.trim() == "null" { "{}" } else { self.0 };
        serde_json::from_str(text).map_err(|error| vec![Problem::new("", error.to_string())])
    }
}
