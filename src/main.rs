//! The `watchfire` binary: parses the command line and hands over to [`watchfire::cli`].

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    watchfire::cli::main(watchfire::cli::Cli::parse())
}
