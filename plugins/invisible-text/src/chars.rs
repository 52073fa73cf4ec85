//! What a character is to a reader: seen, or not. Ranges instead of tables, because every call starts with fresh memory.
//!
//! The unseen are the default-ignorable code points of Unicode 17 (`DerivedCoreProperties.txt`), which contain the bidi
//! controls, the tags and the variation selectors, and besides the interlinear annotation marks. Control characters are a
//! class of their own.

/// What a character is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// It is seen, or it is white space.
    Seen,
    /// ZERO WIDTH JOINER and NON-JOINER: they shape letters, and glue emoji together.
    Joiner,
    /// Selects the look of the character before it.
    Selector,
    /// LEFT-TO-RIGHT, RIGHT-TO-LEFT and ARABIC LETTER MARK.
    Mark,
    /// ZERO WIDTH SPACE: where a line may break in scripts that do not write spaces.
    Break,
    /// A Hangul filler, which holds the place of a letter.
    Filler,
    /// Unseen, with no use in running text.
    Unseen,
    /// A control character that is not white space.
    Control,
}

/// The class of a character.
pub(crate) fn class(c: char) -> Class {
    match u32::from(c) {
        0x00..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f..=0x9f => Class::Control,
        0x200c | 0x200d => Class::Joiner,
        0x180b..=0x180d | 0x180f | 0xfe00..=0xfe0f | 0xe0100..=0xe01ef => Class::Selector,
        0x061c | 0x200e | 0x200f => Class::Mark,
        0x200b => Class::Break,
        0x115f | 0x1160 => Class::Filler,
        0x00ad
        | 0x034f
        | 0x17b4..=0x17b5
        | 0x180e
        | 0x202a..=0x202e
        | 0x2060..=0x206f
        | 0x3164
        | 0xfeff
        | 0xffa0
        | 0xfff0..=0xfffb
        | 0x1bca0..=0x1bca3
        | 0x1d173..=0x1d17a
        | 0xe0000..=0xe0fff => Class::Unseen,
        _ => Class::Seen,
    }
}

/// Whether a joiner between two characters does what joiners are for.
pub(crate) fn joins(before: char, after: char) -> bool {
    (is_pictograph(before) && is_pictograph(after)) || (is_joining(before) && is_joining(after))
}

/// Whether a selector after this character is one that is in use.
pub(crate) fn selects(before: char, selector: char) -> bool {
    match u32::from(selector) {
        0x180b..=0x180f => matches!(u32::from(before), 0x1820..=0x18aa),
        0xfe0e | 0xfe0f => is_pictograph(before) || matches!(before, '0'..='9' | '#' | '*'),
        0xfe00..=0xfe02 => is_ideograph(before) || is_varied(before),
        0xe0100..=0xe01ef => is_ideograph(before),
        _ => false,
    }
}

/// Whether lines break at a zero width space between these: Thai, Lao, Tibetan, Myanmar, Khmer, and their neighbours.
pub(crate) fn breaks(before: char, after: char) -> bool {
    let spaceless = |c: char| matches!(u32::from(c), 0x0e00..=0x109f | 0x1780..=0x17ff | 0x1950..=0x1aaf | 0xa9e0..=0xaadf);
    spaceless(before) && spaceless(after)
}

/// Whether a filler beside this character holds the place of a letter of its syllable.
pub(crate) fn is_jamo(c: char) -> bool {
    matches!(u32::from(c), 0x1100..=0x11ff | 0xa960..=0xa97c | 0xd7b0..=0xd7fb)
}

/// BLACK FLAG, which tags make the flag of a region.
pub(crate) const FLAG: char = '\u{1f3f4}';

/// The tags of the flags of England, Scotland and Wales: the only sequences that are in use (emoji-sequences.txt).
pub(crate) const REGIONS: [&str; 3] = [
    "\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
    "\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

/// Emoji, and the symbols that can be shown as emoji; generous, by block.
fn is_pictograph(c: char) -> bool {
    matches!(
        u32::from(c),
        0xa9 | 0xae
            | 0x203c
            | 0x2049
            | 0x2122
            | 0x2139
            | 0x2190..=0x21ff
            | 0x2300..=0x23ff
            | 0x24c2
            | 0x25a0..=0x27bf
            | 0x2900..=0x297f
            | 0x2b00..=0x2bff
            | 0x3030
            | 0x303d
            | 0x3297
            | 0x3299
            | 0x1f000..=0x1faff
    )
}

/// Scripts whose letters join or stack: Arabic and its neighbours, Mongolian, and the Brahmic ones.
fn is_joining(c: char) -> bool {
    matches!(
        u32::from(c),
        0x0620..=0x08ff
            | 0x0900..=0x109f
            | 0x1780..=0x18aa
            | 0x1900..=0x1cff
            | 0xa800..=0xa9ff
            | 0xaa00..=0xabff
            | 0xfb50..=0xfdff
            | 0xfe70..=0xfefc
            | 0x10ac0..=0x10bff
            | 0x10d00..=0x11fff
            | 0x1e900..=0x1e95f
    )
}

fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3fffd)
}

/// Mathematical operators, East Asian punctuation and Myanmar letters, which have standardised variants.
fn is_varied(c: char) -> bool {
    matches!(u32::from(c), 0x1000..=0x109f | 0x2200..=0x22ff | 0x2a00..=0x2aff | 0x3001..=0x3002 | 0xaa60..=0xaa7f | 0xff01..=0xff1f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_characters() {
        for (c, expected) in [
            ('a', Class::Seen),
            ('\n', Class::Seen),
            ('\t', Class::Seen),
            ('\u{a0}', Class::Seen),
            ('\u{3000}', Class::Seen),
            ('\u{1f468}', Class::Seen),
            ('\u{1b}', Class::Control),
            ('\u{9b}', Class::Control),
            ('\u{200d}', Class::Joiner),
            ('\u{fe0f}', Class::Selector),
            ('\u{e01ef}', Class::Selector),
            ('\u{200e}', Class::Mark),
            ('\u{200b}', Class::Break),
            ('\u{115f}', Class::Filler),
            ('\u{202e}', Class::Unseen),
            ('\u{2066}', Class::Unseen),
            ('\u{2064}', Class::Unseen),
            ('\u{feff}', Class::Unseen),
            ('\u{e0041}', Class::Unseen),
            ('\u{e0001}', Class::Unseen),
            ('\u{e01f0}', Class::Unseen),
            ('\u{3164}', Class::Unseen),
        ] {
            assert_eq!(class(c), expected, "U+{:04X}", u32::from(c));
        }
    }
}
