//! The `tocsin` binary as a library, so that tests can reach its config and commands.
#![expect(clippy::print_stderr, reason = "the command line prints for people")]

mod app;
mod args;
mod audited;
mod backend;
mod client;
pub mod config;
mod demo;
mod explain;
mod failure;
mod feed;
mod import;
mod input;
mod letters;
mod oncall;
mod plan;
mod policy;
mod reference;
mod reload;
mod remote;
mod replay;
mod run;
mod secrets;
mod signals;
mod silence;
mod simulate;
mod small;
mod term;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::args::{AuditCommand, Cli, Command, Global, LogFormat, PolicyCommand, ReferenceCommand};
use crate::failure::Failure;
use crate::term::Out;

// A judge takes millions of small pieces back in when it starts, on a thread of its own: for those glibc asks the kernel
// for memory a few pages at a time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the program and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(&cli.global, &cli.command);
    let out = Out::new(cli.global.json);
    match dispatch(cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("error: {failure}");
            }
            failure.exit_code()
        }
    }
}

/// The references that the demo has checked in, built anew: 28 healthy days at rate 1. Some minutes of work.
///
/// # Errors
/// What went wrong, in words.
pub fn demo_references() -> Result<Vec<detect::reference::Reference>, String> {
    let checked = config::parse(std::path::Path::new("tocsin.toml"), config::TEMPLATE)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    demo::references::build(&checked, 1.0, demo::references::DAYS).map_err(|e| e.to_string())
}

fn dispatch(cli: Cli, out: &Out) -> Result<(), Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Demo(args) => demo::run(&args, out),
        Command::Run(args) => run::run(&args, out),
        Command::Simulate(args) => simulate::run(&args, out),
        Command::Replay(args) => replay::run(&args, out),
        Command::Check(args) => small::check(&args, out),
        Command::Plan(args) => plan::run(&args, out),
        Command::Init(args) => small::init(&args, out),
        Command::Import(args) => import::run(&args, out),
        Command::Incidents(args) => remote::incidents(&args, global, out),
        Command::Show(args) => remote::show(&args, global, out),
        Command::Explain(args) => explain::run(&args, global, out),
        Command::Policy(PolicyCommand::Test(args)) => policy::test(&args, out),
        Command::Policy(PolicyCommand::Simulate(args)) => policy::simulate(&args, out),
        Command::Oncall(args) => oncall::run(&args, out),
        Command::Ack(args) => remote::ack(&args, global, out),
        Command::Resolve(args) => remote::resolve(&args, global, out),
        Command::Close(args) => remote::close(&args, global, out),
        Command::Note(args) => remote::note(&args, global, out),
        Command::Declare(args) => remote::declare(&args, global, out),
        Command::Clear(args) => remote::clear(&args, global, out),
        Command::Snooze(args) => remote::snooze(&args, global, out),
        Command::Silence(command) => silence::run(&command, global, out),
        Command::Assign(args) => remote::assign(&args, global, out),
        Command::Merge(args) => remote::merge(&args, global, out),
        Command::Repin(args) => remote::repin(&args, global, out),
        Command::Tail(args) => remote::tail(&args, global, out),
        Command::Deadletters(args) => letters::list(&args, global, out),
        Command::Audit(AuditCommand::Verify(args)) => audited::verify(&args, global, out),
        Command::Audit(AuditCommand::Show(args)) => audited::show(&args, global, out),
        Command::Audit(AuditCommand::Key(args)) => audited::key(&args, out),
        Command::Forget(args) => audited::forget(&args, global, out),
        Command::Reference(ReferenceCommand::Build(args)) => reference::build(&args, out),
        Command::Token(args) => small::token(&args, out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "tocsin", &mut std::io::stdout());
            Ok(())
        }
    }
}

/// Logs go to standard error: what a command answers is alone on standard output.
fn log_to_stderr(global: &Global, command: &Command) {
    let quiet = !matches!(command, Command::Run(_));
    let filter = global
        .log
        .clone()
        .or_else(|| secrets::env("TOCSIN_LOG"))
        .unwrap_or_else(|| if quiet { "error" } else { "info" }.to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(filter)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match global.log_format {
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => builder.json().init(),
    }
}
