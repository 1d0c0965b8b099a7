//! The `watchfire` binary: parses the command line and hands over to [`watchfire::cli`].

use std::process::ExitCode;

use clap::Parser;

/// The system's allocator keeps a heap per thread: bursts of batches that one thread makes and
/// another frees then stay resident, half as much again.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    watchfire::cli::main(watchfire::cli::Cli::parse())
}
