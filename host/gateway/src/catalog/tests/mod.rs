//! Real entries through the whole of [`super`]: statuses, and the settings that come out, as golden text.

pub(in crate::catalog) mod sample;
mod settings;

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::{Binds, Inputs, Values};
use crate::secrets::{Secrets, Store};

/// What a test resolves with.
#[derive(Default)]
struct World {
    values: Values,
    secrets: Secrets,
    binds: Binds,
}

impl World {
    fn new(values: &str, secrets: &[(&str, &str)]) -> Self {
        let pairs = secrets.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)));
        let values = crate::document::Source { file: "values", text: values };
        Self {
            values: Values::read(&values).unwrap(),
            secrets: Secrets::new(vec![Store::File {
                label: "s.env".to_owned(),
                lines: pairs.collect::<BTreeMap<_, _>>(),
            }]),
            binds: Binds { allow: vec!["/srv".into()], ..Binds::default() },
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        let executable = Some(std::path::Path::new("/usr/bin/wasmgate"));
        Inputs { values: &self.values, secrets: &self.secrets, binds: &self.binds, executable }
    }
}
