//! The `wasmgate` program: reads the command line, runs a subcommand, turns its outcome into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    wasmgate::cli::main()
}
