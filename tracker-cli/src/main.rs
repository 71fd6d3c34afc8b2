//! Temporary.
mod cmd {
    pub(crate) mod run;
}
mod collect;
mod elf;
mod error;
mod launch;
mod preload;
mod sys;

use clap::Parser as _;

#[derive(clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Run(cmd::run::Args),
}

fn main() -> std::process::ExitCode {
    let Command::Run(args) = Cli::parse().command;
    cmd::run::run(args).unwrap_or_else(|error| {
        eprintln!("memtrack: {error}");
        std::process::ExitCode::from(error.code())
    })
}
