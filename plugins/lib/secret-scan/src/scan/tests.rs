//! Every rule finds its format, and leaves alone what only looks like it. The values are made up.

use super::*;

/// A body of `length` characters out of `alphabet`, never the same twice in a row.
fn made_of(alphabet: &str, length: usize) -> String {
    alphabet.chars().cycle().take(length).collect()
}

const ALNUM: &str = "a1B2c3D4e5F6g7H8i9J0kLmNoPqRsTuVwXyZ";
const HEX: &str = "0123456789abcdef";
const UPPER: &str = "A1B2C3D4E5F6G7H8";

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let mut names = Vec::new();
    spans(text.as_bytes(), Allowed::default(), &mut |rule, range| {
        assert!(text.get(range).is_some_and(|value| !value.is_empty()), "{text}");
        if !names.contains(&rule.name) {
            names.push(rule.name);
        }
    });
    assert_eq!(names, expected, "{text}");
}

/// Finds `value` alone and inside other text, and not as part of a longer word.
#[track_caller]
fn check_value(value: &str, name: &str) {
    check(value, &[name]);
    for around in
        ["key=VALUE", "\"VALUE\"", "Use VALUE.", "(VALUE)", "a\nVALUE\nb", "a\\nVALUE", "q=%20VALUE&b=1"]
    {
        check(&around.replace("VALUE", value), &[name]);
    }
    check(&format!("x{value}"), &[]);
}

#[test]
fn prefixed_formats() {
    let alnum = |prefix: &str, length| format!("{prefix}{}", made_of(ALNUM, length));
    let hex = |prefix: &str, length| format!("{prefix}{}", made_of(HEX, length));
    for (value, name) in [
        ("AKIAIOSFODNN7EXAMPLE".to_owned(), "aws-access-key"),
        (format!("ASIA{}", made_of(UPPER, 16)), "aws-access-key"),
        (alnum("ghp_", 36), "github-token"),
        (alnum("ghs_", 40), "github-token"),
        (alnum("github_pat_", 82), "github-fine-grained"),
        (alnum("glpat-", 20), "gitlab-token"),
        (format!("{}.01.{}", alnum("glpat-", 27), made_of(HEX, 9)), "gitlab-token"),
        (format!("xoxb-123456789012-1234567890123-{}", made_of(ALNUM, 24)), "slack-token"),
        (alnum("sk_live_", 24), "stripe-key"),
        (alnum("rk_live_", 99), "stripe-key"),
        (alnum("whsec_", 32), "stripe-webhook"),
        (alnum("sk-proj-", 48), "openai-key"),
        (alnum("sk-", 48), "openai-legacy-key"),
        (alnum("sk-ant-api03-", 93), "anthropic-key"),
        (hex("sk-or-v1-", 64), "openrouter-key"),
        (alnum("gsk_", 52), "groq-key"),
        (alnum("pplx-", 48), "perplexity-key"),
        (alnum("r8_", 37), "replicate-token"),
        (alnum("AIza", 35), "google-api-key"),
        (alnum("GOCSPX-", 28), "google-oauth-secret"),
        (alnum("ya29.", 120), "google-oauth-token"),
        (alnum("npm_", 36), "npm-token"),
        (alnum("pypi-AgEIcHlwaS5vcmc", 120), "pypi-token"),
        (hex("rubygems_", 48), "rubygems-key"),
        (alnum("cio", 32), "crates-io-token"),
        (format!("AGE-SECRET-KEY-1{}", made_of(UPPER, 58)), "age-key"),
        (alnum("hf_", 34), "huggingface-token"),
        (format!("{}.{}", alnum("SG.", 22), made_of(ALNUM, 43)), "sendgrid-key"),
        (hex("SK", 32), "twilio-key"),
        (hex("dop_v1_", 64), "digitalocean-token"),
        (alnum("dckr_pat_", 27), "docker-token"),
        (alnum("hvs.", 90), "vault-token"),
        (hex("dapi", 32), "databricks-token"),
        (hex("shpat_", 32), "shopify-token"),
        (alnum("lin_api_", 40), "linear-key"),
        (alnum("ntn_", 46), "notion-token"),
        (format!("{}-{}", hex("PMAK-", 24), made_of(HEX, 34)), "postman-key"),
        (format!("{}_{}", alnum("glsa_", 32), made_of(HEX, 8)), "grafana-token"),
        (format!("NRAK-{}", made_of(UPPER, 27)), "new-relic-key"),
        (hex("sbp_", 40), "supabase-token"),
        (format!("{}=1A2B3C4D", alnum("ATATT3", 180)), "atlassian-token"),
    ] {
        check_value(&value, name);
    }
}

#[test]
fn formats_of_another_length_are_left_alone() {
    for text in [
        "AKIA",
        "AKIAIOSFODNN7EXAMPL",
        "AKIAIOSFODNN7EXAMPLES",
        "ghp_tooshort",
        "github_pat_tooshort",
        "glpat-short",
        "sk-proj-short",
        "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
        "npm_config_registry",
        "hf_hub_download",
        "SK0123456789abcdef0123456789abcde",
        "SK00000000000000000000000000000000",
        "dapi0123",
        "hvs.short",
        "SG.not.a.key",
        "r8_short",
        "whsec_test",
    ] {
        check(text, &[]);
    }
    check(&format!("AIza{}", made_of(ALNUM, 36)), &[]);
    check(&format!("npm_{}", made_of(ALNUM, 37)), &[]);
    check(&format!("sk-{}", "x".repeat(48)), &[]);
    check(&format!("cio{}", "abcdefgh".repeat(4)), &[]);
}

#[test]
fn words_and_numbers_are_left_alone() {
    for text in [
        "task-force-alpha-bravo-charlie-delta-echo-foxtrot-golf-hotel-india",
        "risk-0123456789012345678901234567890123456789012345678901234567",
        "550e8400-e29b-41d4-a716-446655440000",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
        "The eyJ prefix is how base64 of a JSON object begins.",
        "https://hooks.slack.com/services/",
        "at 12:AA the train leaves",
        "ßåé∂ 日本語 🦀 ghp",
    ] {
        check(text, &[]);
    }
}

#[test]
fn a_name_and_its_value() {
    let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    for text in [
        "aws_secret_access_key = VALUE",
        "export AWS_SECRET_ACCESS_KEY=\"VALUE\"",
        "{\\\"SecretAccessKey\\\":\\\"VALUE\\\"}",
        "TF_VAR_aws_secret_access_key=VALUE",
    ] {
        check(&text.replace("VALUE", key), &["aws-secret-key"]);
    }
    check(key, &[]);
    check("aws_secret_access_key", &[]);
    check(&format!("aws_secret_access_key={}", "x".repeat(40)), &[]);
    check(&format!("aws_secret_access_key={key}0"), &[]);
    let storage = format!("{}==", made_of(ALNUM, 86));
    check(&format!("AccountName=a;AccountKey={storage};EndpointSuffix=b"), &["azure-storage-key"]);
    check("AccountKey=short;", &[]);
}

#[test]
fn private_keys_have_a_body() {
    let body = made_of(ALNUM, 64);
    for label in
        ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"]
    {
        check(&format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----"), &["private-key"]);
        check(&format!("-----BEGIN {label}-----\\n{body}\\n"), &["private-key"]);
        check(&format!("-----BEGIN {label}-----\nProc-Type: 4,ENCRYPTED\n\n{body}"), &["private-key"]);
        check(&format!("a file that begins with -----BEGIN {label}----- is a key"), &[]);
    }
    check(&format!("-----BEGIN PUBLIC KEY-----\n{body}\n"), &[]);
    check(&format!("-----BEGIN CERTIFICATE-----\n{body}\n"), &[]);
}

#[test]
fn signed_web_tokens() {
    // {"alg":"HS256","typ":"JWT"} and {"sub":"1234567890","name":"John Doe"}
    let header = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
    let claims = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0";
    let signature = made_of(ALNUM, 43);
    check_value(&format!("{header}.{claims}.{signature}"), "jwt");
    check(&format!("Authorization: Bearer {header}.{claims}.{signature}"), &["jwt"]);
    check(&format!("{header}.{claims}"), &[]);
    check(&format!("{header}.{claims}."), &[]);
    check(&format!("{header}.notclaims_{claims}.{signature}"), &[]);
    // {"typ":"JWT","not":"a header"}
    check(&format!("eyJ0eXAiOiJKV1QiLCJub3QiOiJhIGhlYWRlciJ9.{claims}.{signature}"), &[]);
}

#[test]
fn passwords_in_urls() {
    for text in [
        "postgres://admin:s3cr3t@db.example:5432/app",
        "see https://bob:hunter2@example.com/path?x=1",
        "redis://:p%40ss@127.0.0.1",
        "mongodb+srv://u:abc123@cluster0.example.net",
        "amqp://a:%24tart@[::1]:5672",
    ] {
        check(text, &["password-in-url"]);
    }
    for text in [
        "https://example.com/a:b@c",
        "https://user@example.com/",
        "https://user:@example.com/",
        "https://example.com:8080/@scope/name",
        "postgres://user:password@localhost/db",
        "postgres://user:${PASSWORD}@localhost/db",
        "postgres://user:<password>@localhost/db",
        "postgres://user:****@localhost/db",
        "https://user:{token}@host",
        "ssh://git@github.com:22/a/b",
        "://a:bcd@host",
        "mailto:someone@example.com",
    ] {
        check(text, &[]);
    }
}

#[test]
fn marks_inside_a_value() {
    let bot = format!("123456789:AA{}", made_of(ALNUM, 33));
    check(&bot, &["telegram-token"]);
    check(&format!("https://api.telegram.org/bot{bot}/getMe"), &[]);
    check(&format!("token={bot};"), &["telegram-token"]);
    check(&format!("1234:AA{}", made_of(ALNUM, 33)), &[]);
    let hook = format!("https://hooks.slack.com/services/T00000000/B00000000/{}", made_of(ALNUM, 24));
    check(&hook, &["slack-webhook"]);
    check(
        &format!("https://discord.com/api/webhooks/123456789012345678/{}", made_of(ALNUM, 68)),
        &["discord-webhook"],
    );
}

#[test]
fn several_are_all_named_once() {
    let token = format!("ghp_{}", made_of(ALNUM, 36));
    check(&format!("{token} {token} AKIAIOSFODNN7EXAMPLE"), &["github-token", "aws-access-key"]);
}

/// Texts built to make a scanner look at the same bytes again and again; a quadratic one would not end.
#[test]
fn time_is_linear() {
    for part in
        ["eyJ", "-----BEGIN ", "://a:", "sk-", "AKIA", ":AA", "aws_secret_access_key=", "ATATT3", "SG."]
    {
        check(&part.repeat(1 << 15), &[]);
    }
}
