//! Images: run as they are.

use catalog_entry::{Entry, Image};

use crate::input::Reading;
use crate::model::Package;
use crate::{Reason, argument, docker, endpoint, environment};

/// Makes the entry one of this image.
pub(crate) fn fill(entry: &mut Entry, package: &Package) -> Result<(), Reason> {
    let image = image(entry, package)?;
    for note in &image.notes {
        entry.note(note.clone());
    }
    if !image.is_tagged() {
        entry.note("its image has no tag: whatever is `latest` runs");
    }
    entry.set("image", image.to_string());
    let mut package = package.clone();
    let endpoint = endpoint::of(&mut package)?;
    entry.reserve(package.env.iter().map(|(name, _)| name.as_str()));
    let rest = docker::fill(entry, &package, &image)?;
    if let Some(endpoint) = endpoint {
        let inside = rest.ports.iter().find(|(host, _)| *host == endpoint.port).map(|(_, inside)| *inside);
        serve(entry, &endpoint::Endpoint { port: inside.unwrap_or(endpoint.port), ..endpoint });
    }
    environment::add(entry, &package.env, Reading::PACKAGE)?;
    argument::add(entry, rest.arguments.iter().chain(&package.arguments), Reading::PACKAGE)
}

/// Says where a container serves HTTP.
pub(crate) fn serve(entry: &mut Entry, endpoint: &endpoint::Endpoint) {
    entry.set("transport", endpoint.transport);
    entry.set("port", endpoint.port);
    entry.set("path", endpoint.path.clone());
    for note in &endpoint.notes {
        entry.note(note.clone());
    }
}

/// Old entries have registry, repository and version apart.
fn image(entry: &mut Entry, package: &Package) -> Result<Image, Reason> {
    let bad = || Reason::new(format!("`{}` is not the reference of an image", package.identifier));
    let mut image = Image::read(&package.identifier).ok_or_else(bad)?;
    let base = package.base_url.as_deref().unwrap_or_default().trim_end_matches('/');
    let host = base.strip_prefix("https://").unwrap_or(base);
    if !host.is_empty() && image.host().is_none() {
        image = Image::read(&format!("{host}/{image}")).ok_or_else(bad)?;
    }
    match &package.version {
        Some(version) if !image.is_tagged() => image.tagged(version).ok_or_else(|| {
            Reason::new(format!("the version `{version}` of its image is neither a tag nor a digest"))
        }),
        Some(version) if !image.to_string().ends_with(version.as_str()) => {
            entry.note(format!(
                "its image says which it is; the version `{version}` beside it does not count"
            ));
            Ok(image)
        }
        _ => Ok(image),
    }
}
