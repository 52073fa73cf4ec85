//! Whether pieces of a text are UTF-8 together.

/// UTF-8 across pieces: what is left of a character that the last piece cut.
#[derive(Default)]
pub(super) struct Utf8 {
    held: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Whether a text may go on like this. A character that is cut at the very end is in no string that ends.
    pub(super) fn check(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while self.length > 0 {
            let (Some((next, more)), Some(place)) = (rest.split_first(), self.held.get_mut(self.length))
            else {
                return true;
            };
            (*place, rest) = (*next, more);
            self.length += 1;
            match std::str::from_utf8(self.held.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(rest) else { return true };
        let cut = rest.get(error.valid_up_to()..).unwrap_or_default();
        if error.error_len().is_some() {
            return false;
        }
        for (place, byte) in self.held.iter_mut().zip(cut) {
            *place = *byte;
        }
        self.length = cut.len();
        true
    }
}
