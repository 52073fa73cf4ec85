//! Finds credentials in JSON text: the formats are a table ([`RULES`]), found in one pass over each string, as they stand
//! and under one layer of base64 or percent-encoding. Shared by the plugins that look for them; no plugin itself.

mod checks;
pub mod json;
mod layers;
mod rules;
mod scan;

use std::ops::Range;

pub use rules::{RULES, Rule};

use crate::layers::{Percent, base64_runs};

/// Rules that are turned off, as bits in the order of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed(u64);

impl Allowed {
    /// Turns one more rule off. Answers whether there is a rule of this name.
    pub fn add(&mut self, name: &str) -> bool {
        let index = RULES.iter().position(|rule| rule.name == name);
        self.0 |= index.map_or(0, |index| 1 << index);
        index.is_some()
    }
}

/// A credential in a text.
pub struct Found<'a> {
    /// The rule it fits.
    pub rule: &'static Rule,
    /// Where it stands in the text; the whole run of base64 where it is in one.
    pub range: Range<usize>,
    /// The credential itself, decoded.
    pub secret: &'a [u8],
}

/// Shows every credential in `text`, which may be the value of a member called `name`. One that can be read in two ways is
/// shown twice; ranges may overlap and are in no order.
pub fn look(text: &str, name: Option<&str>, allowed: Allowed, visit: &mut dyn FnMut(Found<'_>)) {
    if let Some((rule, range)) = name.and_then(|name| scan::named(name, text.as_bytes(), allowed)) {
        let secret = text.as_bytes().get(range.clone()).unwrap_or_default();
        visit(Found { rule, range, secret });
    }
    layers(text, &mut |layer, place| {
        scan::spans(layer, allowed, &mut |rule, range| {
            let secret = layer.get(range.clone()).unwrap_or_default();
            visit(Found { rule, range: place(&range), secret });
        });
    });
}

/// Where a range of a layer stands in the text itself.
pub type Origin<'a> = dyn Fn(&Range<usize>) -> Range<usize> + 'a;

/// Shows a text as it stands, without its percent-encoding where it has any, and every run of base64 in it decoded; and for
/// a range of each where in the text that stands.
pub fn layers(text: &str, visit: &mut dyn FnMut(&[u8], &Origin<'_>)) {
    let bytes = text.as_bytes();
    visit(bytes, &Range::clone);
    if let Some(percent) = Percent::of(bytes) {
        // Only a text with something in it pays for knowing where that was.
        let places = std::cell::OnceCell::new();
        visit(&percent.decoded, &|range| {
            let places = places.get_or_init(|| Percent::places(bytes));
            let place = |at: usize| places.get(at).copied().unwrap_or(bytes.len());
            place(range.start)..place(range.end)
        });
    }
    base64_runs(bytes, &mut |run, decoded| visit(decoded, &|_| run.clone()));
}

/// A pointer as it may be shown to people: empty where one of its names looks like a credential.
pub fn shown(pointer: String) -> String {
    let mut leaks = false;
    look(&pointer, None, Allowed::default(), &mut |_| leaks = true);
    if leaks { String::new() } else { pointer }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut found = Vec::new();
        look(text, None, Allowed::default(), &mut |one| {
            let secret = String::from_utf8_lossy(one.secret).into_owned();
            let place = text.get(one.range.clone()).unwrap().to_owned();
            if !found.contains(&(place.clone(), secret.clone())) {
                found.push((place, secret));
            }
        });
        let expected: Vec<_> =
            expected.iter().map(|(place, secret)| ((*place).to_owned(), (*secret).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn one_layer_is_looked_under() {
        check(&format!("a {TOKEN}, {TOKEN}"), &[(TOKEN, TOKEN)]);
        let encoded = TOKEN.replace('_', "%5F");
        check(&format!("?q={encoded}&b=%20{TOKEN}"), &[(TOKEN, TOKEN), (&encoded, TOKEN)]);
        // `key=ghp_0123456789abcdefghijklmnopqrstuvwxyz\n`, as the command `base64` writes it.
        let base64 = "a2V5PWdocF8wMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoK";
        check(&format!("Basic {base64}"), &[(base64, TOKEN)]);
        check(&format!("{base64}=="), &[(&format!("{base64}=="), TOKEN)]);
    }

    #[test]
    fn a_credential_is_found_wherever_it_stands() {
        for before in 0..40 {
            for behind in 0..20 {
                let text = format!("{}{TOKEN}{}", " ".repeat(before), ".".repeat(behind));
                check(&text, &[(TOKEN, TOKEN)]);
            }
        }
    }

    #[test]
    fn the_value_is_what_is_secret_of_a_find() {
        check("postgres://admin:s3cr3t@db:5432/app", &[("s3cr3t", "s3cr3t")]);
        check("postgres%3A%2F%2Fadmin%3As3cr3t%40db", &[("s3cr3t", "s3cr3t")]);
        let bot = "123456789:AAa1B2c3D4e5F6g7H8i9J0kLmNoPqRsTuVw";
        check(&format!("use {bot}."), &[(bot, bot)]);
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        check(&format!("aws_secret_access_key = {key}"), &[(key, key)]);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "a1B2".repeat(16));
        check(&format!("x {pem} y"), &[(&pem, &pem)]);
    }

    #[test]
    fn a_member_says_what_its_value_is() {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let mut rules = Vec::new();
        look(key, Some("secretAccessKey"), Allowed::default(), &mut |one| {
            rules.push((one.rule.name, one.range))
        });
        assert_eq!(rules, [("aws-secret-key", 0..40)]);
    }

    /// Texts built to make a scanner look at the same bytes again and again; a quadratic one would not end.
    #[test]
    fn time_is_linear() {
        let pem = format!("-----BEGIN PRIVATE KEY-----{}", "a1B2".repeat(16));
        let encoded = TOKEN.replace('_', "%5F") + " ";
        for part in ["%41", "QUFB", "QUFB\n", "sk-ant-", &pem, &encoded, "ghp_", "a%2"] {
            let mut count = 0;
            look(&part.repeat((1 << 17) / part.len()), None, Allowed::default(), &mut |_| count += 1);
            assert!(count < 1 << 14, "{part}");
        }
    }

    #[test]
    fn rules_are_turned_off_by_name() {
        let mut allowed = Allowed::default();
        assert!(!allowed.add("nonsense"));
        assert!(allowed.add("github-token"));
        look(TOKEN, None, allowed, &mut |one| panic!("{}", one.rule.name));
    }

    #[test]
    fn the_table_fits_into_a_word_and_its_names_are_unique() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.len() <= scan::MOST_RULES);
    }
}
