//! Temporary.
mod cmd {
    pub(crate) mod doctor;
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
    Doctor(cmd::doctor::Args),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => cmd::run::run(args),
        Command::Doctor(args) => cmd::doctor::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("memtrack: {error}");
        std::process::ExitCode::from(error.code())
    })
}
