//! A mutator that does what its configuration says: `{"do": "set"}`. Only for tests.

use wasmgate_plugin::{Config, Descriptor, Draft, Edit, Hook, Interceptor, Outcome, Problem};

/// What to do, from the configuration.
pub struct Editor(String);

impl Interceptor for Editor {
    fn describe() -> Descriptor {
        Descriptor::new("editor", "1.0.0", "Edits on demand.")
            .hook(Hook::mutate(&["tools/call"]).request().response().has(&["/arguments"]))
            .priority(-5, 7)
    }

    fn configure(config: Config<'_>) -> Result<Self, Vec<Problem>> {
        Ok(Self(config.text().split('"').nth(3).unwrap_or("nothing").to_owned()))
    }

    fn mutate(&self, draft: &Draft<'_>) -> Result<Outcome, String> {
        match self.0.as_str() {
            "set" => draft.apply(&[
                Edit::SetString("/arguments/q".into(), "a \"new\" one".into()),
                Edit::Set("/arguments/n".into(), "1.50".into()),
                Edit::Remove("/arguments/gone".into()),
            ])?,
            "replace" => draft.replace(r#"{"arguments":{}}"#)?,
            "replace-with-text" => draft.replace("not json")?,
            "forget" => {
                draft.replace("{}")?;
                return Ok(Outcome::Unchanged);
            }
            "half" => {
                let missing = Edit::Remove("/arguments/missing".into());
                let refused = draft.apply(&[Edit::Set("/arguments/q".into(), "2".into()), missing]);
                let seen = draft.get("/arguments/q").unwrap_or_default();
                let note = Edit::SetString("/arguments/half".into(), format!("{refused:?} then {seen}"));
                draft.apply(&[note])?;
            }
            "answer" => return Ok(Outcome::Answer(r#"{"content":[]}"#.into())),
            "answer-with-text" => return Ok(Outcome::Answer("not json".into())),
            "flood" => {
                let edit = Edit::SetString("/arguments/q".into(), "x".repeat(200 << 10));
                (0..10).try_for_each(|_| draft.apply(std::slice::from_ref(&edit)))?;
            }
            _ => return Ok(Outcome::Unchanged),
        }
        Ok(Outcome::Changed)
    }
}

wasmgate_plugin::export!(Editor);
