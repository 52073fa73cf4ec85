//! Who gets to see a login, and who does not.

use super::*;

/// `me:hunter2`
const LOGIN: &str = "bWU6aHVudGVyMg==";
const AUTHS: &str = r#"{"auths":{"REGISTRY":{"auth":"bWU6aHVudGVyMg=="}}}"#;

/// A registry that wants this login.
fn basic(asked: &Asked) -> Option<Raw> {
    let good = asked.login() == Some(&format!("Basic {LOGIN}"));
    (!good).then(|| reply(401, &[("WWW-Authenticate", "Basic realm=\"registry\"")], ""))
}

/// A registry with a token service of its own; `grant` says which token a request for one gets.
fn bearer(grant: impl Fn(&Asked) -> Raw + Send + Sync) -> impl Fn(&Asked) -> Option<Raw> + Send + Sync {
    move |asked| {
        if asked.path.starts_with("/token") {
            return Some(grant(asked));
        }
        let host = asked.headers.get("host").unwrap();
        let challenge =
            format!("Bearer realm=\"http://{host}/token\",service=\"svc\",scope=\"repository:a:pull\"");
        (asked.login() != Some("Bearer t0ken")).then(|| reply(401, &[("WWW-Authenticate", &challenge)], ""))
    }
}

/// No failure repeats a secret.
#[track_caller]
fn discreet(failure: &OciError) -> String {
    let said = format!("{failure} {failure:?}");
    for secret in ["hunter2", LOGIN, "t0ken", "s3cret"] {
        assert!(!said.contains(secret), "{said}");
    }
    failure.to_string()
}

#[tokio::test]
async fn a_login_is_sent_when_it_is_asked_for() {
    let bench = bench_with(logged_in(AUTHS), basic).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    bench.pull("a:1").await.unwrap();
    let logins: Vec<bool> = bench.double.asked().iter().map(|asked| asked.login().is_some()).collect();
    assert_eq!(logins, [false, true, true, true, true], "asked once, then known");
}

#[tokio::test]
async fn without_a_login_the_error_says_how_to_get_one() {
    let check = async |settings: Settings, says: &str| {
        let bench = bench_with(settings, basic).await;
        let said = discreet(&bench.failure("a:1").await);
        assert!(said.contains(says) && said.contains("docker login 127.0.0.1:"), "{said}");
    };
    check(Settings::default(), "wants a login").await;
    check(logged_in(r#"{"auths":{"REGISTRY":{"auth":"bWU6d3Jvbmc="}}}"#), "does not accept the login").await;
    check(logged_in("{"), "is not Docker's config.json").await;
    check(logged_in(r#"{"auths":{"REGISTRY":{"auth":"%%%"}}}"#), "cannot be decoded").await;
    check(logged_in(r#"{"credsStore":"absent-helper-of-a-test"}"#), "cannot be run").await;
    check(logged_in(r#"{"auths":{"REGISTRY":{"identitytoken":"s3cret"}}}"#), "name and a password").await;
}

#[tokio::test]
async fn a_token_is_got_for_anybody_or_for_a_login() {
    let anybody = bearer(|asked| {
        assert!(asked.path.contains("service=svc") && asked.path.contains("scope=repository%3Aa%3Apull"));
        assert_eq!(asked.login(), None);
        reply(200, &[], r#"{"token":"t0ken","expires_in":300}"#)
    });
    let anonymous = bench(anybody).await;
    anonymous.double.has("a:1", &layers(&[b"content"]));
    anonymous.pull("a:1").await.unwrap();
    let tokens = anonymous.asked().iter().filter(|asked| asked.contains("/token")).count();
    assert_eq!(tokens, 1, "one token for all of it");

    let known = bearer(|asked| match asked.login() {
        Some(login) if login == format!("Basic {LOGIN}") && asked.path.contains("account=me") => {
            reply(200, &[], r#"{"access_token":"t0ken"}"#)
        }
        _ => reply(401, &[], ""),
    });
    let bench = bench_with(logged_in(AUTHS), known).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    bench.pull("a:1").await.unwrap();
}

#[tokio::test]
async fn an_answer_of_a_token_service_has_an_end() {
    for (size, fits) in [(1024, true), (1025, false)] {
        let token = r#"{"token":"t0ken","expires_in":300}"#;
        let grant = bearer(move |_| reply(200, &[], token.to_owned() + &" ".repeat(size - token.len())));
        let settings = Settings { largest_token: 1024, patience: impatient(), ..Settings::default() };
        let bench = bench_with(settings, grant).await;
        bench.double.has("a:1", &layers(&[b"content"]));
        match bench.pull("a:1").await {
            Ok(_) => assert!(fits, "{size} bytes are too many"),
            Err(failure) => {
                assert!(!fits, "{size} bytes fit: {failure}");
                assert!(matches!(failure, OciError::TooLarge { most: 1024, .. }), "{failure}");
            }
        }
    }
}

#[tokio::test]
async fn identity_tokens_and_newer_services_are_asked_by_form() {
    let refresh = bearer(|asked| {
        let form = String::from_utf8(asked.body.clone()).unwrap();
        let good = asked.method == "POST"
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=s3cret");
        if good { reply(200, &[], r#"{"access_token":"t0ken"}"#) } else { reply(400, &[], "") }
    });
    let settings = logged_in(r#"{"auths":{"REGISTRY":{"identitytoken":"s3cret"}}}"#);
    let bench = bench_with(settings, refresh).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    bench.pull("a:1").await.unwrap();

    let password = bearer(|asked| {
        let form = String::from_utf8(asked.body.clone()).unwrap();
        match asked.method.as_str() {
            "POST" if form.contains("username=me") && form.contains("password=hunter2") => {
                reply(200, &[], r#"{"access_token":"t0ken"}"#)
            }
            "POST" => reply(401, &[], ""),
            _ => reply(405, &[], ""),
        }
    });
    let bench = bench_with(logged_in(AUTHS), password).await;
    bench.double.has("a:1", &layers(&[b"content"]));
    bench.pull("a:1").await.unwrap();
}

#[tokio::test]
async fn a_token_service_that_says_no_is_told_apart() {
    let check = async |settings: Settings, status: u16, says: &str| {
        let bench = bench_with(settings, bearer(move |_| reply(status, &[], r#"{"token":"x"}"#))).await;
        let said = discreet(&bench.failure("a:1").await);
        assert!(said.contains(says), "{status}: {said}");
    };
    check(Settings::default(), 401, "wants a login").await;
    check(logged_in(AUTHS), 401, "does not accept the login").await;
    check(logged_in(AUTHS), 403, "does not allow to read `a`").await;
    check(logged_in(AUTHS), 200, "does not allow to read `a`").await;
    check(Settings::default(), 200, "wants a login").await;
}

#[tokio::test]
async fn a_login_is_not_sent_to_just_any_token_service() {
    for (realm, says) in [
        ("http://auth.example/token", "over https"),
        ("https://10.0.0.1/token", "private address"),
        ("https://169.254.169.254/token", "metadata"),
        ("ftp://127.0.0.1/token", "over https"),
        ("nonsense", "not a URL"),
    ] {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let rule = move |_: &Asked| Some(reply(401, &[("WWW-Authenticate", &challenge)], ""));
        let bench = bench_with(logged_in(AUTHS), rule).await;
        let said = discreet(&bench.failure("a:1").await);
        assert!(said.contains(says), "{realm}: {said}");
        assert!(bench.double.asked().iter().all(|asked| asked.login().is_none()));
    }
}

/// A registry that has its blobs elsewhere.
fn blobs_at(place: String) -> impl Fn(&Asked) -> Option<Raw> + Send + Sync {
    move |asked| {
        if asked.is("GET", "/blobs/") {
            return Some(reply(307, &[("Location", &format!("{place}{}", asked.path))], ""));
        }
        basic(asked)
    }
}

#[tokio::test]
async fn a_login_does_not_follow_a_redirect_to_another_origin() {
    let artifact = layers(&[b"content"]);
    let blobs = Double::start(nothing_special).await;
    blobs.has("a:1", &artifact);
    let bench = bench_with(logged_in(AUTHS), blobs_at(format!("http://{}", blobs.address()))).await;
    bench.double.has("a:1", &artifact);
    assert_eq!(bench.pull("a:1").await.unwrap().artifact, artifact);
    assert_eq!(blobs.asked().len(), 2);
    assert!(blobs.asked().iter().all(|asked| asked.login().is_none()));

    // Another host, which the operator named.
    let by_name = blobs.address().replace("127.0.0.1", "localhost");
    let settings = Settings { named: vec!["localhost".into()], ..logged_in(AUTHS) };
    let bench = bench_with(settings, blobs_at(format!("http://{by_name}"))).await;
    bench.double.has("a:1", &artifact);
    assert_eq!(bench.pull("a:1").await.unwrap().artifact, artifact);
    assert!(blobs.asked().iter().all(|asked| asked.login().is_none()));
}

#[tokio::test]
async fn redirects_lead_only_where_we_go() {
    for (place, says) in [
        ("https://10.0.0.1", "private address"),
        ("https://169.254.169.254", "metadata"),
        ("https://[::1]", "loopback"),
        ("http://localhost:1", "plain http"),
        ("http://example.org", "only https is followed"),
        ("https://me:hunter2@example.org", "with a login in it"),
        ("ftp://example.org", "only https is followed"),
    ] {
        let bench = bench(move |asked| {
            let to = format!("{place}{}", asked.path);
            asked.is("GET", "/blobs/").then(|| reply(302, &[("Location", &to)], ""))
        })
        .await;
        bench.double.has("a:1", &layers(&[b"content"]));
        let failure = bench.failure("a:1").await;
        let said = discreet(&failure);
        assert!(said.contains(says) && matches!(failure, OciError::BadTarget { .. }), "{place}: {said}");
    }
}

#[tokio::test]
async fn redirects_have_an_end() {
    let bench = bench(|asked| {
        let to = format!("{}0", asked.path);
        asked.is("GET", "/blobs/").then(|| reply(302, &[("Location", &to)], ""))
    })
    .await;
    bench.double.has("a:1", &layers(&[b"content"]));
    let said = bench.failure("a:1").await.to_string();
    assert!(said.contains("more than 5 redirects"), "{said}");
}
