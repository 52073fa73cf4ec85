//! The plugin's own configuration again, for code that is not where `configure` left it.

use crate::bindings::config::Host;
use crate::guest::Guest;

impl Host for Guest {
    fn value(&mut self) -> wasmtime::Result<String> {
        self.usage.host_work(self.identity.config.bytes().len())?;
        Ok(self.identity.config.as_str().to_owned())
    }

    fn at(&mut self, pointer: String) -> wasmtime::Result<Option<String>> {
        self.usage.host_work(self.identity.config.bytes().len())?;
        Ok(self.identity.config.pointer(&pointer).map(|value| value.as_str().to_owned()))
    }
}
