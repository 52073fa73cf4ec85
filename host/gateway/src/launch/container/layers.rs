//! From the engine's report of a pull, layer by layer, to one number.

use std::collections::HashMap;

use bollard::models::CreateImageInfo;

/// The layers of one pull.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: HashMap<String, Layer>,
    shown: Option<u8>,
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Layer {
    current: u64,
    total: Option<u64>,
    status: String,
}

impl Layers {
    /// Takes one line of the report; whether anything moved.
    pub(super) fn note(&mut self, info: &CreateImageInfo) -> bool {
        let (Some(id), Some(status)) = (info.id.as_ref(), info.status.as_ref()) else {
            return true;
        };
        // Lines about the image as a whole carry its tag as id.
        if status.starts_with("Pulling from") || (self.layers.len() >= MOST && !self.layers.contains_key(id))
        {
            return true;
        }
        let layer = self.layers.entry(id.clone()).or_default();
        let before = layer.clone();
        layer.status.clone_from(status);
        let detail = info.progress_detail.as_ref();
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        match status.as_str() {
            "Already exists" | "Pull complete" | "Download complete" | "Verifying Checksum" => {
                layer.current = *layer.total.get_or_insert(0);
            }
            "Downloading" => {
                layer.total = number(detail.and_then(|d| d.total)).or(layer.total);
                layer.current = number(detail.and_then(|d| d.current)).unwrap_or(layer.current);
            }
            // Unpacking counts the same bytes again: it moves, but downloads nothing.
            "Extracting" => return true,
            _ => {}
        }
        *layer != before
    }

    /// How much is downloaded, 0 to 99, never less than before; `None` until a size is known.
    pub(super) fn percent(&mut self) -> Option<u8> {
        let known: Vec<(u64, u64)> =
            self.layers.values().filter_map(|l| Some((l.current, l.total?))).collect();
        let total: u64 = known.iter().map(|(_, total)| total).sum();
        if total == 0 {
            return self.shown;
        }
        // Layers that wait their turn have no size yet: take them for average ones.
        let counted = known.len().max(1) as u64;
        let whole = total.saturating_add(
            total / counted * (self.layers.len() as u64 - counted.min(self.layers.len() as u64)),
        );
        let done: u64 = known.iter().map(|(current, total)| current.min(total)).sum();
        let percent = u8::try_from(done.saturating_mul(100) / whole).unwrap_or(99).min(99);
        self.shown = self.shown.max(Some(percent));
        self.shown
    }
}

/// More layers than any image has; a report with more is cut.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn line(id: &str, status: &str, detail: Option<(i64, i64)>) -> CreateImageInfo {
        let progress_detail = detail.map(|(c, t)| ProgressDetail { current: Some(c), total: Some(t) });
        CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail,
            error_detail: None,
        }
    }

    #[test]
    fn bytes_of_all_layers_make_one_percentage() {
        let mut layers = Layers::default();
        for (id, status, detail, moved, percent) in [
            ("latest", "Pulling from mcp/x", None, true, None),
            ("a", "Pulling fs layer", None, true, None),
            ("b", "Pulling fs layer", None, true, None),
            ("b", "Pulling fs layer", None, false, None),
            ("a", "Downloading", Some((50, 100)), true, Some(25)),
            ("a", "Downloading", Some((50, 100)), false, Some(25)),
            ("b", "Downloading", Some((0, 900)), true, Some(25)),
            ("b", "Downloading", Some((450, 900)), true, Some(50)),
            ("a", "Download complete", None, true, Some(55)),
            ("a", "Extracting", Some((1, 100)), true, Some(55)),
            ("c", "Already exists", None, true, Some(55)),
            ("b", "Verifying Checksum", None, true, Some(99)),
            ("b", "Pull complete", None, true, Some(99)),
        ] {
            assert_eq!(
                (layers.note(&line(id, status, detail)), layers.percent()),
                (moved, percent),
                "{id} {status}"
            );
        }
    }
}
