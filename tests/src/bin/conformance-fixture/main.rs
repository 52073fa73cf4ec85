//! The server that the official conformance suite is run against, directly and through the gateway.
//!
//! One set of tools, prompts and resources under the names the suite asks for, on the official SDK, in three disguises:
//! a server of 2025-11-25 and before, one of 2026-07-28 and later, and one of both eras. What the SDK does not do by itself,
//! refusing the other era the way a server of that era would, is in `era`. It is a peer of the gateway, not a part of it.

#![expect(
    clippy::disallowed_methods,
    reason = "a test peer has no drain; it ends with its pipe or is killed"
)]

mod era;
mod http;
mod jobs;
mod offers;
mod questions;
mod server;
mod stdio;
mod tools;

use std::process::ExitCode;

use era::Era;

const USAGE: &str = "usage: conformance-fixture --stdio|--http PORT [--era legacy|modern|both]";

enum Wire {
    Stdio,
    Http(u16),
}

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ran = match understood(&args) {
        Some((Wire::Stdio, era)) => stdio::serve(era).await,
        Some((Wire::Http(port), era)) => http::serve(port, era).await,
        None => Err(std::io::Error::other(USAGE)),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance-fixture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn understood(args: &[String]) -> Option<(Wire, Era)> {
    let (mut wire, mut era) = (None, Era::Both);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--stdio" => wire = Some(Wire::Stdio),
            "--http" => wire = Some(Wire::Http(args.next()?.parse().ok()?)),
            "--era" => era = args.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some((wire?, era))
}
