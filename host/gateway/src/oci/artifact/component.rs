//! The CNCF's layout for components, which wkg, wash and others push and pull.
//!
//! Rules: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>. Readers in the field insist on `created`,
//! so it is written; always as the beginning of 1970, because the same component is to have the same digest.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Artifact, NotThat, Parts};
use crate::oci::digest::Digest;

/// A component to publish.
#[derive(Debug, Clone, Default)]
pub struct Component {
    /// The component.
    pub wasm: Bytes,
    /// The interfaces and functions it exports, as WIT names them.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// For people and lists: `title`, `version`, `description`, `licenses`, `source`, `documentation`, each without
    /// `org.opencontainers.image.`, which is put before it; a key with a `.` is taken as it is.
    pub annotations: BTreeMap<String, String>,
}

/// What an artifact of the layout holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout<'a> {
    /// The component, or module: whoever runs it looks.
    pub wasm: &'a Bytes,
    /// What its configuration says it exports; a hint. Empty when it does not say.
    pub exports: Vec<String>,
    /// What its configuration says it imports; a hint.
    pub imports: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    created: String,
    architecture: String,
    os: String,
    layer_digests: Vec<Digest>,
    #[serde(default)]
    component: Option<Interfaces>,
}

#[derive(Serialize, Deserialize)]
struct Interfaces {
    #[serde(default)]
    exports: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
}

impl Artifact {
    /// An artifact of the layout.
    ///
    /// # Errors
    /// [`NotThat::Content`] when the bytes do not begin as WebAssembly does.
    pub fn component(component: Component) -> Result<Self, NotThat> {
        let Component { wasm, mut exports, mut imports, annotations } = component;
        check_wasm(&wasm)?;
        exports.sort();
        imports.sort();
        let config = Config {
            created: CREATED.to_owned(),
            architecture: "wasm".to_owned(),
            os: "wasip2".to_owned(),
            layer_digests: vec![Digest::of(&wasm)],
            component: Some(Interfaces { exports, imports }),
        };
        let config = serde_json::to_vec(&config).unwrap_or_default();
        let annotation = |(key, value): (String, String)| {
            (if key.contains('.') { key } else { format!("{ANNOTATION}{key}") }, value)
        };
        let parts = Parts {
            config: (CONFIG.to_owned(), Bytes::from(config)),
            layers: vec![(WASM.to_owned(), wasm)],
            annotations: annotations.into_iter().map(annotation).collect(),
            ..Parts::default()
        };
        Ok(parts.build())
    }

    /// The component of an artifact of the layout, or of the older one that Spin pushes.
    ///
    /// # Errors
    /// [`NotThat`] when it is of another kind or layout.
    pub fn wasm(&self) -> Result<Layout<'_>, NotThat> {
        let (media_type, wasm) = self.only_layer()?;
        if ![WASM, OLDER_WASM].contains(&media_type) {
            let config = &self.manifest.config.media_type;
            return Err(if config == CONFIG {
                NotThat::Layer { found: media_type.to_owned(), wanted: WASM }
            } else {
                NotThat::Kind { found: self.kind().to_owned(), wanted: "a WebAssembly component" }
            });
        }
        check_wasm(wasm)?;
        if self.manifest.config.media_type != CONFIG {
            return Ok(Layout { wasm, exports: Vec::new(), imports: Vec::new() });
        }
        let wrong = |why: String| NotThat::Content { what: "configuration", why };
        let config: Config =
            serde_json::from_slice(&self.config).map_err(|error| wrong(error.to_string()))?;
        if config.architecture != "wasm" {
            return Err(wrong(format!("architecture `{}`", config.architecture)));
        }
        if config.layer_digests != [Digest::of(wasm)] {
            return Err(wrong("its `layerDigests` are of other bytes".to_owned()));
        }
        let Interfaces { exports, imports } =
            config.component.unwrap_or(Interfaces { exports: Vec::new(), imports: Vec::new() });
        Ok(Layout { wasm, exports, imports })
    }
}

fn check_wasm(bytes: &[u8]) -> Result<(), NotThat> {
    if bytes.starts_with(b"\0asm") {
        return Ok(());
    }
    Err(NotThat::Content { what: "layer", why: "WebAssembly begins with `\\0asm`".to_owned() })
}

const WASM: &str = "application/wasm";
const OLDER_WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const CREATED: &str = "1970-01-01T00:00:00Z";
const ANNOTATION: &str = "org.opencontainers.image.";
