//! A folder of Docker's (`~/.docker/mcp`) as a catalog: what was enabled there, with which values and tools.

use std::path::Path;

use super::sources::Reader;
use crate::catalog::docker::{self, CATALOGS, FILES, Folder, Setup};
use crate::document::Source;

/// A file of the folder: how people know it, and what it says.
struct Read {
    label: String,
    text: String,
}

impl Read {
    fn source(&self) -> Source<'_> {
        Source { file: &self.label, text: &self.text }
    }
}

impl Reader {
    /// Reads a folder; a file that is not there says nothing, but is looked at again when it comes.
    pub(super) fn folder(&mut self, directory: &Path) -> Option<Setup> {
        let [registry, config, tools, index] = FILES.map(|name| self.optional(&directory.join(name)));
        let catalogs: Vec<(String, Read)> = self.catalogs_of(&directory.join(CATALOGS));
        let folder = Folder {
            registry: registry.as_ref().map(Read::source),
            config: config.as_ref().map(Read::source),
            tools: tools.as_ref().map(Read::source),
            index: index.as_ref().map(Read::source),
            catalogs: catalogs.iter().map(|(name, read)| (name.as_str(), read.source())).collect(),
        };
        match docker::read(&folder) {
            Ok(setup) => {
                self.warnings.extend(setup.warnings.iter().cloned());
                Some(setup)
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    fn optional(&mut self, path: &Path) -> Option<Read> {
        if !path.exists() {
            self.seen.unusable(path);
            return None;
        }
        let text = self.text(path, "correct the file, or name its catalogs one by one")?;
        Some(Read { label: self.label(path), text })
    }

    /// The folder's catalogs by name, in its order.
    fn catalogs_of(&mut self, directory: &Path) -> Vec<(String, Read)> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        paths.sort();
        let named = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned);
        paths.iter().filter_map(|path| Some((named(path)?, self.optional(path)?))).collect()
    }
}
