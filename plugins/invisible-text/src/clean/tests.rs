//! What is cleaned, kept and shown of single texts.

use super::*;

const ALL: Taste = Taste { controls: true, marks: true };

#[track_caller]
fn check(text: &str, removed: &str, escaped: &str) {
    let or_same = |cured: Option<String>| cured.unwrap_or_else(|| text.to_owned());
    assert_eq!(or_same(cured(text, ALL, Cure::Remove)), removed, "removed");
    assert_eq!(or_same(cured(text, ALL, Cure::Escape)), escaped, "escaped");
    assert_eq!(first(text, ALL).is_some(), text != removed, "found");
}

#[track_caller]
fn kept(text: &str) {
    check(text, text, text);
}

#[test]
fn what_is_hidden_goes() {
    check("user\u{202e}fdp.exe", "userfdp.exe", "user\\u{202e}fdp.exe");
    check("a\u{2066}b\u{2069}c", "abc", "a\\u{2066}b\\u{2069}c");
    check("pay\u{200b}pal", "paypal", "pay\\u{200b}pal");
    check("\u{feff}text", "text", "\\u{feff}text");
    check("so\u{ad}ft", "soft", "so\\u{ad}ft");
    check("Hi\u{e0049}\u{e0047}\u{e004e}", "Hi", "Hi\\u{e0049}\\u{e0047}\\u{e004e}");
    check("a\u{2062}\u{2064}\u{2062}", "a", "a\\u{2062}\\u{2064}\\u{2062}");
    check("a\u{200e}b", "ab", "a\\u{200e}b");
    check("a\u{3164}b\u{ffa0}", "ab", "a\\u{3164}b\\u{ffa0}");
    check("la\u{200d}tin", "latin", "la\\u{200d}tin");
}

#[test]
fn joiners_that_shape_letters_and_emoji_stay() {
    kept("ordinary text, \u{e4}\u{f6}\u{fc}, \u{4f60}\u{597d}, \u{1f600}");
    kept("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}");
    kept("\u{1f3f3}\u{fe0f}\u{200d}\u{1f308}");
    kept("\u{1f9d1}\u{1f3fd}\u{200d}\u{1f4bb}");
    kept("\u{2764}\u{fe0f}\u{200d}\u{1f525}");
    kept("#\u{fe0f}\u{20e3}");
    kept("\u{1f3f4}\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}!");
    kept("\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}");
    kept("\u{915}\u{94d}\u{200d}\u{937}");
    kept("\u{dc1}\u{dca}\u{200d}\u{dbb}\u{dd3}");
    kept("\u{845b}\u{e0100}");
    kept("\u{e44}\u{e17}\u{e22}\u{200b}\u{e44}\u{e17}\u{e22}");
}

#[test]
fn a_run_shrinks_to_the_one_that_has_a_use() {
    check(
        "\u{1f600}\u{fe0f}\u{fe01}\u{e0110}\u{e0111}",
        "\u{1f600}\u{fe0f}",
        "\u{1f600}\u{fe0f}\\u{fe01}\\u{e0110}\\u{e0111}",
    );
    check("\u{1f600}\u{e0148}\u{e0149}", "\u{1f600}", "\u{1f600}\\u{e0148}\\u{e0149}");
    check("a\u{fe0f}", "a", "a\\u{fe0f}");
    check(
        "\u{6cc}\u{200c}\u{200d}\u{200c}\u{62e}",
        "\u{6cc}\u{200c}\u{62e}",
        "\u{6cc}\\u{200c}\\u{200d}\u{200c}\u{62e}",
    );
    check("\u{1f468}\u{200d}", "\u{1f468}", "\u{1f468}\\u{200d}");
    check("\u{1f3f4}\u{e0061}\u{e007f}", "\u{1f3f4}", "\u{1f3f4}\\u{e0061}\\u{e007f}");
}

#[test]
fn terminal_escapes_go_as_a_whole() {
    check("\u{1b}[31mred\u{1b}[0m", "red", "\\u{1b}[31mred\\u{1b}[0m");
    check("\u{9b}2Jx", "x", "\\u{9b}2Jx");
    check(
        "\u{1b}]8;;https://evil.example\u{1b}\\link\u{1b}]8;;\u{7}",
        "link",
        "\\u{1b}]8;;https://evil.example\\u{1b}\\link\\u{1b}]8;;\\u{7}",
    );
    check("\u{1b}]0;never ends", "0;never ends", "\\u{1b}]0;never ends");
    check("a\u{1b}", "a", "a\\u{1b}");
    check("a\u{1b}\u{1b}[1mb", "ab", "a\\u{1b}\\u{1b}[1mb");
    check("a\u{8}\u{8}b\u{0}\r\n\tc", "ab\r\n\tc", "a\\u{8}\\u{8}b\\u{0}\r\n\tc");
    check("\u{1b}\u{e4}", "\u{e4}", "\\u{1b}\u{e4}");
}

#[test]
fn taste_is_respected() {
    let taste = Taste { controls: false, marks: false };
    let removed = |text| cured(text, taste, Cure::Remove);
    assert_eq!(removed("\u{1b}[31mred"), None);
    assert_eq!(removed("\u{5d0}\u{200f}!"), None);
    assert_eq!(removed("\u{200f}\u{200e}\u{200f}!").as_deref(), Some("\u{200f}!"));
    assert_eq!(removed("\u{1b}\u{202e}").as_deref(), Some("\u{1b}"));
}

#[test]
fn a_cured_text_is_cured() {
    for text in ["\u{1f468}\u{200b}\u{200d}\u{1f469}", "\u{6cc}\u{202e}\u{200c}\u{62e}", "\u{1b}\u{202e}[31m"]
    {
        if let Some(once) = cured(text, ALL, Cure::Remove) {
            assert_eq!(cured(&once, ALL, Cure::Remove), None, "{once:?}");
        }
    }
}
