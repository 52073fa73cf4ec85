//! Hosts and origins, one row each.

use super::*;

/// `headers` is a list of `Name: value` lines.
#[track_caller]
fn check(site: &Site, target: &str, headers: &[&str], expected: Result<(), Foreign>) {
    let map = headers
        .iter()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    assert_eq!(site.admits(&target.parse().unwrap(), &map), expected, "{target} {headers:?}");
}

fn local() -> Site {
    Site::new(
        Ipv4Addr::LOCALHOST.into(),
        8811,
        &["gate.test".to_owned(), "box:9000".to_owned()],
        &["https://app.example.com".to_owned()],
    )
}

#[test]
fn on_loopback_only_our_own_names_are_served() {
    let site = local();
    for host in [
        "localhost:8811",
        "LOCALHOST:8811",
        "127.0.0.1:8811",
        "127.8.8.8:8811",
        "[::1]:8811",
        "gate.test",
        "gate.test:1234",
        "Gate.Test:8811",
        "box:9000",
    ] {
        check(&site, "/mcp", &[&format!("Host: {host}")], Ok(()));
    }
    for host in [
        "evil.example",
        "evil.example:8811",
        "localhost",
        "localhost:8812",
        "localhost.:8811",
        "127.0.0.1",
        "127.1:8811",
        "2130706433:8811",
        "0.0.0.0:8811",
        "[::]:8811",
        "[::ffff:127.0.0.1]:8811",
        "localhost.evil.example:8811",
        "127.0.0.1.evil.example:8811",
        "xn--localhost-.test:8811",
        "box:9001",
        "box",
    ] {
        check(&site, "/mcp", &[&format!("Host: {host}")], Err(Foreign::HostName));
    }
}

#[test]
fn one_valid_host_is_required() {
    let site = local();
    check(&site, "/mcp", &[], Err(Foreign::Host));
    for host in ["", "a b", "localhost:8811/x", "user@localhost:8811", "localhost:8811, evil", "::1"] {
        check(&site, "/mcp", &[&format!("Host: {host}")], Err(Foreign::Host));
    }
    check(&site, "/mcp", &["Host: localhost:8811", "Host: localhost:8811"], Err(Foreign::Host));
}

#[test]
fn an_absolute_target_must_agree_with_host() {
    let site = local();
    check(&site, "http://localhost:8811/mcp", &["Host: localhost:8811"], Ok(()));
    check(&site, "http://evil.example/mcp", &["Host: localhost:8811"], Err(Foreign::Target));
    check(&site, "http://127.0.0.1:8811/mcp", &["Host: localhost:8811"], Err(Foreign::Target));
}

#[test]
fn an_origin_must_be_ours_or_configured() {
    let site = local();
    for origin in [
        "http://localhost:8811",
        "http://127.0.0.1:8811",
        "http://[::1]:8811",
        "https://app.example.com",
        "HTTPS://APP.EXAMPLE.COM",
    ] {
        check(&site, "/mcp", &["Host: 127.0.0.1:8811", &format!("Origin: {origin}")], Ok(()));
    }
    for origin in [
        "null",
        "",
        "http://evil.example",
        "http://evil.example:8811",
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:8811",
        "file://",
        "chrome-extension://abcdef",
        "http://localhost.:8811",
        "http://localhost:8811.evil.example",
        "http://localhost:8811@evil.example",
        "http://app.example.com",
        "https://app.example.com:444",
        "https://app.example.com.evil.example",
        "https://sub.app.example.com",
        "localhost:8811",
        "http://gate.test",
    ] {
        let headers = ["Host: 127.0.0.1:8811", &format!("Origin: {origin}")];
        check(&site, "/mcp", &headers, Err(Foreign::Origin));
    }
    let twice = ["Host: 127.0.0.1:8811", "Origin: http://localhost:8811", "Origin: http://localhost:8811"];
    check(&site, "/mcp", &twice, Err(Foreign::Origin));
}

#[test]
fn other_sites_are_refused_unless_configured() {
    let site = local();
    let host = "Host: 127.0.0.1:8811";
    check(&site, "/mcp", &[host, "Sec-Fetch-Site: cross-site"], Err(Foreign::CrossSite));
    check(&site, "/mcp", &[host, "Sec-Fetch-Site: same-origin"], Ok(()));
    check(&site, "/mcp", &[host, "Sec-Fetch-Site: none"], Ok(()));
    check(
        &site,
        "/mcp",
        &[host, "Sec-Fetch-Site: cross-site", "Origin: http://localhost:8811"],
        Err(Foreign::CrossSite),
    );
    let configured = [host, "Sec-Fetch-Site: cross-site", "Origin: https://app.example.com"];
    check(&site, "/mcp", &configured, Ok(()));
}

#[test]
fn elsewhere_every_name_is_ours_until_some_are_configured() {
    let open = Site::new(Ipv4Addr::UNSPECIFIED.into(), 8811, &[], &[]);
    check(&open, "/mcp", &["Host: gate.internal:8811"], Ok(()));
    check(&open, "/mcp", &["Host: gate.internal", "Origin: https://gate.internal"], Ok(()));
    check(&open, "/mcp", &["Host: gate.internal", "Origin: https://evil.example"], Err(Foreign::Origin));
    let named = Site::new(Ipv4Addr::UNSPECIFIED.into(), 8811, &["gate.internal".to_owned()], &[]);
    check(&named, "/mcp", &["Host: gate.internal:8811"], Ok(()));
    check(&named, "/mcp", &["Host: evil.example"], Err(Foreign::HostName));
    check(&named, "/mcp", &["Host: localhost:8811"], Ok(()));
}

#[test]
fn without_a_token_only_addresses_are_ours_everywhere() {
    let site = Site::new(Ipv4Addr::UNSPECIFIED.into(), 8811, &[], &[]).open();
    let host = |host: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        site.admits(&Uri::from_static("/mcp"), &headers)
    };
    for ours in ["192.168.1.5:8811", "[fe80::1]:8811", "localhost:8811"] {
        assert_eq!(host(ours), Ok(()), "{ours}");
    }
    assert_eq!(host("evil.example:8811"), Err(Foreign::HostName));
}
