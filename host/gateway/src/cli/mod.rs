//! The command line: one file a subcommand, exit codes 0 (done), 1 (failed), 2 (usage or configuration).
//!
//! Flags keep the names and meaning of `docker mcp gateway run` where there is one. Nothing here starts a server or
//! opens a socket: that is `app`.

mod args;
mod audit;
mod catalog;
mod demo;
mod output;
mod plugin;
mod run;
mod server;
mod tools;
mod update;
mod validate;
mod warden;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;

/// A gateway between AI clients and MCP servers that anyone can extend with WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "wasmgate", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    Run(run::Run),
    /// Check catalogs and configuration without starting anything.
    Validate(validate::Validate),
    /// Look at servers, and bring them here.
    #[command(subcommand)]
    Server(server::Server),
    /// Make catalogs, look into them, and bring them to and from registries.
    #[command(subcommand)]
    Catalog(catalog::Catalog),
    /// Look at tools and call one.
    #[command(subcommand)]
    Tools(tools::Tools),
    /// Write, look at and try out plugins.
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Look where the tags of the configuration lead now, and take it over.
    Update(update::Update),
    /// Look at audit logs.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// A small MCP server over stdio, for the demo catalog.
    #[command(hide = true)]
    DemoServer(demo::DemoServer),
    /// What is left of a gateway that is killed.
    #[command(name = app::WARDEN, hide = true)]
    Warden(warden::Warden),
}

/// How a subcommand ended, when not well.
enum Failed {
    /// The work failed: exit code 1.
    Work(String),
    /// The command line or the configuration is wrong: exit code 2.
    Usage(String),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers on stdout; everything else is a mistake on stderr. Exit code 0 and 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _unwritable = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match cli.command {
        Command::Run(run) => run.run(),
        Command::Validate(validate) => validate.run(),
        Command::Server(server) => server.run(),
        Command::Catalog(catalog) => catalog.run(),
        Command::Tools(tools) => tools.run(),
        Command::Plugin(plugin) => plugin.run(),
        Command::Update(update) => update.run(),
        Command::Audit(audit) => audit.run(),
        Command::DemoServer(demo) => demo.run(),
        Command::Warden(warden) => warden.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Work(message)) => output::complain(&message, 1),
        Err(Failed::Usage(message)) => output::complain(&message, 2),
    }
}
