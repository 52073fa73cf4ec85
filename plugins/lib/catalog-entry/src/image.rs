//! References of images: `[host[:port]/]path[:tag][@sha256:...]`.

/// A reference that an engine can pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    host: Option<String>,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
    /// What was put right on the way.
    pub notes: Vec<String>,
}

impl Image {
    /// Reads a reference, and puts right what sources are known to get wrong: capital letters in the path, and `:sha256:`
    /// where `@sha256:` is meant. Answers none where it can be no reference.
    pub fn read(written: &str) -> Option<Self> {
        let mut notes = Vec::new();
        let mended = written.replacen(":sha256:", "@sha256:", usize::from(!written.contains('@')));
        if mended != written {
            notes.push(format!("the image `{written}` is taken as `{mended}`"));
        }
        let (rest, digest) = match mended.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (mended.as_str(), None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
            _ => (None, rest),
        };
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        let lower = path.to_ascii_lowercase();
        if lower != path {
            notes.push(format!(
                "the image's path `{path}` is written in small letters, as registries have it"
            ));
        }
        let fits = is_path(&lower)
            && host.is_none_or(is_host)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        let owned = |text: Option<&str>| text.map(str::to_owned);
        fits.then(|| Self { host: owned(host), path: lower, tag: owned(tag), digest: owned(digest), notes })
    }

    /// Its registry, where it says one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether it says which image of its repository it is.
    pub fn is_tagged(&self) -> bool {
        self.tag.is_some() || self.digest.is_some()
    }

    /// With this registry, if it says none.
    #[must_use]
    pub fn at(self, host: &str) -> Self {
        Self { host: self.host.or_else(|| Some(host.to_owned())), ..self }
    }

    /// With this tag, or this digest where it is one. None where it can be neither.
    pub fn tagged(self, tag: &str) -> Option<Self> {
        match (is_digest(tag), is_tag(tag)) {
            (true, _) => Some(Self { digest: Some(tag.to_owned()), ..self }),
            (_, true) => Some(Self { tag: Some(tag.to_owned()), ..self }),
            _ => None,
        }
    }

    /// Whether both name the same repository; Docker Hub needs no host and no `library/`.
    pub fn is_same_repository(&self, other: &Self) -> bool {
        let whole = |image: &Self| {
            let host =
                image.host.clone().filter(|host| !matches!(host.as_str(), "docker.io" | "index.docker.io"));
            let path = image.path.strip_prefix("library/").unwrap_or(&image.path).to_owned();
            (host, path)
        };
        whole(self) == whole(other)
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        f.write_str(&self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    !name.is_empty() && name.chars().all(word) && !name.starts_with('-') && port.parse::<u16>().is_ok()
}

fn is_path(path: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    path.len() <= 255
        && path.split('/').all(|part| {
            part.starts_with(word)
                && part.ends_with(word)
                && part.chars().all(|c| word(c) || matches!(c, '.' | '_' | '-'))
        })
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    digest.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        assert_eq!(Image::read(written).map(|image| image.to_string()).as_deref(), expected, "{written}");
    }

    #[test]
    fn references() {
        let digest = "d9dc2f44f4f624bdc5fb5817abc74f6244dd40b2d03036380cd6253eff374ae5";
        for same in
            ["docker.io/a/b:1.0", "a", "localhost/a", "localhost:5000/a/b_c:v1", "ghcr.io/a/b@sha256:"]
        {
            let whole = same.replace("@sha256:", &format!("@sha256:{digest}"));
            check(&whole, Some(&whole));
        }
        check("ghcr.io/Some/Thing:MCP", Some("ghcr.io/some/thing:MCP"));
        check(&format!("docker.io/mcp/x:sha256:{digest}"), Some(&format!("docker.io/mcp/x@sha256:{digest}")));
        for bad in
            ["", "-a", "a b", "a:", "a@sha256:12", "https://ghcr.io/a", "a/-b", "a:b:c", "a//b", "héllo"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn hosts_and_tags_are_filled_in() {
        let image = Image::read("a/b").unwrap();
        assert_eq!(image.clone().at("ghcr.io").tagged("1.2").unwrap().to_string(), "ghcr.io/a/b:1.2");
        assert_eq!(image.clone().tagged("no tag"), None);
        assert_eq!(Image::read("quay.io/a").unwrap().at("ghcr.io").to_string(), "quay.io/a");
        assert!(image.is_same_repository(&Image::read("docker.io/a/b:3").unwrap()));
        assert!(!image.is_same_repository(&Image::read("ghcr.io/a/b").unwrap()));
    }
}
