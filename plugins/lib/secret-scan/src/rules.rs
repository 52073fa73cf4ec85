//! The formats. Every rule begins with a literal, because that is what makes a string recognisable as a credential and
//! what makes one pass over the text enough.
//!
//! Lengths are those the issuers document or their tokens show; where they vary, the minimum is what is certain.

use std::ops::Range;

use crate::checks::{self, Hit};

/// One format: a literal, then between `min` and `max` characters of `body`, then something else.
pub struct Rule {
    /// Its name in findings and in the configuration.
    pub name: &'static str,
    /// What it finds, for people: "a GitHub token".
    pub what: &'static str,
    /// How it may begin.
    pub(crate) prefixes: &'static [&'static str],
    pub(crate) body: Class,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// What else must hold.
    pub(crate) check: fn(&Hit<'_>) -> bool,
    /// What of the text is the credential.
    pub(crate) reach: fn(&Hit<'_>) -> Range<usize>,
    pub(crate) kind: Kind,
}

/// How the literal relates to the text around it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Part of the value: it must begin a word.
    Prefix,
    /// The value's name: separators may follow, and a member of that name is as good.
    Name,
    /// A mark inside the value; what is before it is the check's business.
    Mark,
}

/// Sets of characters, ASCII only.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    Hex,
    Upper,
    Alnum,
    /// Alphanumeric, `_`.
    Word,
    /// Alphanumeric, `_`, `-`: base64url.
    Dash,
    /// The same and `.`.
    Dotted,
    /// Standard base64 with padding.
    Base64,
    /// What may stand in a URL's path.
    Path,
    /// Anything: the check decides.
    Any,
}

impl Class {
    pub(crate) const fn has(self, byte: u8) -> bool {
        let alnum = byte.is_ascii_alphanumeric();
        match self {
            Self::Hex => byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'),
            Self::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Self::Alnum => alnum,
            Self::Word => alnum || byte == b'_',
            Self::Dash => alnum || matches!(byte, b'_' | b'-'),
            Self::Dotted => alnum || matches!(byte, b'_' | b'-' | b'.'),
            Self::Base64 => alnum || matches!(byte, b'+' | b'/' | b'='),
            Self::Path => alnum || matches!(byte, b'_' | b'-' | b'/'),
            Self::Any => true,
        }
    }
}

const fn rule(name: &'static str, what: &'static str, prefixes: &'static [&'static str]) -> Rule {
    Rule {
        name,
        what,
        prefixes,
        body: Class::Any,
        min: 0,
        max: 0,
        check: checks::always,
        reach: checks::whole,
        kind: Kind::Prefix,
    }
}

impl Rule {
    const fn then(self, body: Class, min: usize, max: usize) -> Self {
        Self { body, min, max, ..self }
    }

    const fn check(self, check: fn(&Hit<'_>) -> bool) -> Self {
        Self { check, ..self }
    }

    const fn reach(self, reach: fn(&Hit<'_>) -> Range<usize>) -> Self {
        Self { reach, ..self }
    }

    const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }
}

/// Longest body of a format whose length is not fixed.
const LONG: usize = 512;

/// Every format, at most 64 (`scan.rs` keeps sets of them in a word).
pub const RULES: &[Rule] = &[
    rule("aws-access-key", "an AWS access key id", &["AKIA", "ASIA", "ABIA", "ACCA"]).then(
        Class::Upper,
        16,
        16,
    ),
    rule(
        "aws-secret-key",
        "an AWS secret access key",
        &[
            "aws_secret_access_key",
            "AWS_SECRET_ACCESS_KEY",
            "secretAccessKey",
            "SecretAccessKey",
            "aws_secret_key",
        ],
    )
    .then(Class::Base64, 40, 40)
    .check(checks::varied)
    .reach(checks::value)
    .kind(Kind::Name),
    rule("github-token", "a GitHub token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]).then(
        Class::Alnum,
        36,
        LONG,
    ),
    rule("github-fine-grained", "a GitHub fine-grained token", &["github_pat_"]).then(Class::Word, 70, LONG),
    rule(
        "gitlab-token",
        "a GitLab token",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glsoat-", "glagent-", "gloas-"],
    )
    .then(Class::Dotted, 20, LONG),
    rule(
        "slack-token",
        "a Slack token",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxe.xox", "xapp-"],
    )
    .then(Class::Dash, 20, LONG)
    .check(checks::has_digit),
    rule(
        "slack-webhook",
        "a Slack webhook",
        &["hooks.slack.com/services/", "hooks.slack.com/workflows/", "hooks.slack.com/triggers/"],
    )
    .then(Class::Path, 30, LONG),
    rule("stripe-key", "a Stripe key", &["sk_live_", "rk_live_"]).then(Class::Alnum, 16, LONG),
    rule("stripe-webhook", "a Stripe webhook secret", &["whsec_"]).then(Class::Base64, 32, LONG),
    rule("openai-key", "an OpenAI key", &["sk-proj-", "sk-svcacct-", "sk-admin-"]).then(
        Class::Dash,
        40,
        LONG,
    ),
    rule("openai-legacy-key", "an OpenAI key", &["sk-"]).then(Class::Alnum, 40, 64).check(checks::varied),
    rule("anthropic-key", "an Anthropic key", &["sk-ant-"]).then(Class::Dash, 40, LONG),
    rule("openrouter-key", "an OpenRouter key", &["sk-or-v1-"]).then(Class::Hex, 64, 64),
    rule("groq-key", "a Groq key", &["gsk_"]).then(Class::Alnum, 50, 60),
    rule("perplexity-key", "a Perplexity key", &["pplx-"]).then(Class::Alnum, 40, 64),
    rule("replicate-token", "a Replicate token", &["r8_"]).then(Class::Alnum, 37, 37),
    rule("google-api-key", "a Google API key", &["AIza"]).then(Class::Dash, 35, 35),
    rule("google-oauth-secret", "a Google OAuth client secret", &["GOCSPX-"]).then(Class::Dash, 28, 28),
    rule("google-oauth-token", "a Google access token", &["ya29."]).then(Class::Dash, 30, 4096),
    rule("npm-token", "an npm token", &["npm_"]).then(Class::Alnum, 36, 36),
    rule("pypi-token", "a PyPI token", &["pypi-AgEIcHlwaS5vcmc", "pypi-AgENdGVzdC5weXBpLm9yZw"]).then(
        Class::Dash,
        50,
        1024,
    ),
    rule("rubygems-key", "a RubyGems key", &["rubygems_"]).then(Class::Hex, 48, 48),
    rule("crates-io-token", "a crates.io token", &["cio"]).then(Class::Alnum, 32, 32).check(checks::mixed),
    rule("private-key", "a private key", &["-----BEGIN "])
        .check(checks::private_key)
        .reach(checks::pem_block)
        .kind(Kind::Mark),
    rule("age-key", "an age secret key", &["AGE-SECRET-KEY-1"]).then(Class::Upper, 58, 58),
    rule("jwt", "a signed JSON web token", &["eyJ"]).then(Class::Dotted, 60, 16 << 10).check(checks::jwt),
    rule("huggingface-token", "a Hugging Face token", &["hf_", "api_org_"]).then(Class::Alnum, 34, 40),
    rule("sendgrid-key", "a SendGrid key", &["SG."]).then(Class::Dotted, 66, 66).check(checks::sendgrid),
    rule("twilio-key", "a Twilio key", &["SK"]).then(Class::Hex, 32, 32).check(checks::varied),
    rule("digitalocean-token", "a DigitalOcean token", &["dop_v1_", "doo_v1_", "dor_v1_"]).then(
        Class::Hex,
        64,
        64,
    ),
    rule("docker-token", "a Docker token", &["dckr_pat_", "dckr_oat_"]).then(Class::Dash, 20, LONG),
    rule("vault-token", "a Vault token", &["hvs.", "hvb.", "hvr."]).then(Class::Dash, 24, LONG),
    rule("databricks-token", "a Databricks token", &["dapi"]).then(Class::Hex, 32, 32),
    rule("shopify-token", "a Shopify token", &["shpat_", "shpca_", "shppa_", "shpss_"]).then(
        Class::Hex,
        32,
        32,
    ),
    rule("azure-storage-key", "an Azure storage key", &["AccountKey"])
        .then(Class::Base64, 86, 88)
        .reach(checks::value)
        .kind(Kind::Name),
    rule("telegram-token", "a Telegram bot token", &[":AA"])
        .then(Class::Dash, 33, 33)
        .check(checks::bot_number)
        .reach(checks::with_bot_number)
        .kind(Kind::Mark),
    rule(
        "discord-webhook",
        "a Discord webhook",
        &["discord.com/api/webhooks/", "discordapp.com/api/webhooks/"],
    )
    .then(Class::Path, 60, LONG),
    rule("linear-key", "a Linear key", &["lin_api_"]).then(Class::Alnum, 40, 40),
    rule("notion-token", "a Notion token", &["ntn_"]).then(Class::Alnum, 40, 60),
    rule("postman-key", "a Postman key", &["PMAK-"]).then(Class::Dash, 59, 59),
    rule("grafana-token", "a Grafana token", &["glsa_"]).then(Class::Word, 41, 41),
    rule("new-relic-key", "a New Relic key", &["NRAK-"]).then(Class::Upper, 27, 27),
    rule("supabase-token", "a Supabase token", &["sbp_"]).then(Class::Hex, 40, 40),
    rule("atlassian-token", "an Atlassian token", &["ATATT3"])
        .check(checks::atlassian)
        .reach(checks::atlassian_token),
    rule("password-in-url", "a URL with a password", &["://"])
        .check(checks::password_in_url)
        .reach(checks::password)
        .kind(Kind::Mark),
];
