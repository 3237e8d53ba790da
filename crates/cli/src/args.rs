//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Watches machine-learning models in production and gets the right person to answer.
///
/// Exit status: 0 all is well; 1 the answer is no (config invalid, chain broken, trouble missed); 2 wrong usage;
/// 3 the running process cannot be reached; 4 it refused (token, role); 5 no such incident; 6 cannot start;
/// 7 asked to end, not finished in 25 s.
#[derive(Debug, Parser)]
#[command(name = "tocsin", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// One JSON object a line instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the running process listens [default: the file that it left beside its log, else http://127.0.0.1:7311]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// File with the token to show to the running process
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What is logged to the terminal: error, warn, info, debug, or per part as in `info,tocsin_runtime=debug`
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// How it is logged
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole thing at work: a simulated fleet, scripted trouble, pages, in 90 seconds
    Demo(DemoArgs),
    /// Run it: collect telemetry, judge it, escalate incidents
    Run(RunArgs),
    /// Write the telemetry of a simulated fleet to a Kafka, with a file that says what was planted
    Simulate(SimulateArgs),
    /// Judge telemetry that was kept, under this config: what would it have said?
    Replay(ReplayArgs),
    /// Say everything that can be known about a config without a broker
    Check(CheckArgs),
    /// Say what the budget comes to before anything runs: who may spend what, how soon changes are found
    Plan(PlanArgs),
    /// Write a commented config to start from
    Init(InitArgs),
    /// Take over people, schedules and policies from what another pager exports (docs/moving-in.md)
    Import(ImportArgs),
    /// List the incidents
    Incidents(IncidentsArgs),
    /// Show one incident: evidence, pages, who has it
    Show(IdArgs),
    /// Say why an incident opened: the numbers, the formula with them put in, which gate passed when, and what would
    /// have had to be different
    Explain(ExplainArgs),
    /// Say who is on call, until when, and why; as a list or a calendar too
    Oncall(OnCallArgs),
    /// Try a policy: its tests, and what it would have done of late
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Take an incident: its pages stop until the acknowledgement expires
    Ack(AckArgs),
    /// Say that people are done with an incident
    Resolve(ResolveArgs),
    /// Say that a resolved incident was looked back on
    Close(CloseArgs),
    /// Write a note on an incident
    Note(NoteArgs),
    /// Raise an incident that no detector found
    Declare(DeclareArgs),
    /// Say that what was raised so is over
    Clear(ClearArgs),
    /// Page nobody about an incident for a time
    Snooze(SnoozeArgs),
    /// Page nobody about what matches, for a time
    #[command(subcommand)]
    Silence(SilenceCommand),
    /// Hand an incident to somebody, who is paged
    Assign(AssignArgs),
    /// Say that an incident is the same trouble as another one, which is worked on in its place
    Merge(MergeArgs),
    /// Let an incident follow the response bundle that is in force, in place of the one that it opened with
    Repin(RepinArgs),
    /// Follow incidents, pages and answers as they happen
    Tail(TailArgs),
    /// List the records that could not be read, and why
    Deadletters(DeadLettersArgs),
    /// The audit chain
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Forget a person: the audit keeps a pseudonym that leads to no name
    Forget(ForgetArgs),
    /// References: what healthy looks like
    #[command(subcommand)]
    Reference(ReferenceCommand),
    /// Make a token for the HTTP listener: prints the token once and the line for the config
    Token(TokenArgs),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The same seed tells the same story
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Multiplies the traffic of every model
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// Which trouble happens
    #[arg(long, default_value = "story")]
    pub scenario: String,
    /// Seconds to watch; event time is stretched so that the story fits
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 90)]
    pub for_s: u64,
    /// Go on after the story; Ctrl-C ends it
    #[arg(long)]
    pub stay: bool,
    /// Address of the HTTP listener
    #[arg(long, default_value = "127.0.0.1:7311")]
    pub listen: String,
    /// Folder for config and log [default: a temporary one, removed at the end]
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The config
    #[arg(long, short, default_value = "tocsin.toml")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Model versions to assume where no reference is pinned
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub versions: u32,
    /// Features of each of them
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=4096))]
    pub features: u32,
    /// Predictions a second of each of them; half are labelled
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,
    /// Of the fleet that the log of the config knows: versions judged within its last hour, by references pinned or learned
    #[arg(long, conflicts_with_all = ["versions", "features", "rate"])]
    pub observed: bool,
}

/// Predictions a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
        Ok(_) | Err(_) => Err("not a number above 0 and at most 1000000".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which parts run in this process
    #[arg(long, value_delimiter = ',', default_value = "collect,judge,escalate")]
    pub roles: Vec<Role>,
    /// Read telemetry from these files (JSON Lines) into the embedded log, then go on serving
    #[arg(long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Role {
    Collect,
    Judge,
    Escalate,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Judge => "judge",
            Self::Escalate => "escalate",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Kafka to write to, host:port[,host:port]
    #[arg(long)]
    pub brokers: String,
    /// Topic for predictions and labels; created when it does not exist
    #[arg(long, default_value = "tocsin.telemetry.v1")]
    pub topic: String,
    /// Partitions of the topic when it is created here
    #[arg(long, default_value_t = 4)]
    pub partitions: u32,
    /// Multiplies the traffic of every model
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// The same seed writes the same records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Event time to simulate, as 90s, 30m, 12h or 7d [default: the length of the scenario]
    #[arg(long = "for", value_name = "DURATION")]
    pub for_: Option<String>,
    /// Which trouble happens; `--scenario help` lists them
    #[arg(long, default_value = "story")]
    pub scenario: String,
    /// Event time without trouble before it begins, as 26h: what a detector without references learns from
    #[arg(long, value_name = "DURATION")]
    pub quiet: Option<String>,
    /// Seconds of event time in a second of the clock; 0 is as fast as the broker takes it
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,
    /// Event time of the first record, RFC 3339
    #[arg(long, default_value = "2026-03-02T08:00:00Z")]
    pub start: String,
    /// Where to write what was planted and when
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub input: InputArgs,
    /// Take what comes before this time as the reference, and judge what comes after. RFC 3339 or epoch milliseconds
    #[arg(long, value_name = "TIME")]
    pub reference_until: Option<String>,
    /// Where to write the incidents, one JSON object a line; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub incidents: Option<PathBuf>,
    /// Where to write every closed pane with the verdict of each stream, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub streams: Option<PathBuf>,
    /// Folder to write a report with pictures to, one page that needs nothing else: DIR/index.html
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// What is known to have happened, to score the incidents by: the file that `simulate --truth` writes, or the
    /// truth of a labelled case (docs/replay.md)
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

/// Telemetry that was kept.
#[derive(Debug, Args)]
pub(crate) struct InputArgs {
    /// Telemetry, one JSON object a line, in the order of arrival; plain, .gz, .zst, or .parquet in a build for it
    #[arg(long, required_unless_present = "from", conflicts_with = "from", value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Instead of files: what the log of the config holds
    #[arg(long, value_enum)]
    pub from: Option<From>,
    /// With --from: what was written at this time or later, or of the history what happened then. RFC 3339 or epoch
    /// milliseconds
    #[arg(long, requires = "from", value_name = "TIME")]
    pub since: Option<String>,
    /// With --from: what was written, or happened, before this time
    #[arg(long, requires = "from", value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum From {
    /// The telemetry topics
    Telemetry,
    /// What was counted of telemetry, as far back as panes are kept (replay only): all but what counting fixed is judged
    /// again
    History,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write it; `-` is standard output
    #[arg(default_value = "tocsin.toml")]
    pub path: PathBuf,
    /// Overwrite
    #[arg(long)]
    pub force: bool,
    /// Write people, policies and templates into a folder `response` beside it, for a team
    #[arg(long)]
    pub response: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The pager that it comes from
    #[arg(value_enum)]
    pub from: Pager,
    /// What that pager exports
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Folder of the response bundle to write
    #[arg(long, default_value = "response", value_name = "DIR")]
    pub out: PathBuf,
    /// Overwrite
    #[arg(long)]
    pub force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pager {
    /// Its config file
    Alertmanager,
    /// Grafana OnCall: lists of its public HTTP interface
    Oncall,
    /// Answers of its REST interface
    Opsgenie,
    /// The answer to one query of its GraphQL interface
    Goalert,
}

#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    /// Those whose signal has cleared too
    #[arg(long)]
    pub all: bool,
    /// How many at most, the newest first; without it 200, and all with --json
    #[arg(long, value_name = "N")]
    pub limit: Option<std::num::NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The incident, or the first letters of its id
    pub id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub id: IdArgs,
    /// Somebody of people.toml: why they were paged, or were not
    pub person: Option<String>,
    /// Whom each step pages, and what came of it
    #[arg(long)]
    pub pages: bool,
    /// Read it from this file instead of the running process: what `replay --incidents` writes
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The config that judged it, for the least effects
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say whether every test of the response bundle sees the pages that it expects, and no others
    Test(PolicyTestArgs),
    /// Play recorded incidents through this bundle and through another: who would have been paged more, who less
    Simulate(PolicySimulateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PolicySimulateArgs {
    /// Records of incidents, one JSON object a line: what `replay --incidents` writes, or values of the incidents topic
    #[arg(required = true, value_name = "FILE")]
    pub incidents: Vec<PathBuf>,
    /// The config to compare with, as it was before
    #[arg(long, value_name = "FILE")]
    pub against: PathBuf,
    /// Seconds after which whoever is called takes the incident; nobody does, if it is not given
    #[arg(long = "answered-after", value_name = "SECONDS")]
    pub answered_after_s: Option<u32>,
    /// The config to try
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Do not look for the secrets that it names: they are elsewhere, as where changes are reviewed
    #[arg(long)]
    pub without_secrets: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyTestArgs {
    /// Files of tests [default: all in the folder `tests` of the response bundle]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OnCallArgs {
    /// One schedule [default: all]
    pub schedule: Option<String>,
    /// At this time: `2026-03-02T09:00:00Z`, or `2026-03-02 09:00` in the zone of people.toml [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// When they are on call: a person of people.toml
    #[arg(long, value_name = "NAME")]
    pub person: Option<String>,
    /// Who is on call in so many days from then on
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=400))]
    pub days: Option<u16>,
    /// As an iCalendar on standard output, of 90 days if it is not said
    #[arg(long)]
    pub ical: bool,
    #[command(flatten)]
    pub config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AckArgs {
    #[command(flatten)]
    pub id: IdArgs,
    /// Seconds until it escalates again unless resolved [default: the policy's]
    #[arg(long = "for", value_name = "SECONDS")]
    pub for_s: Option<u64>,
    #[arg(long)]
    pub note: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    #[command(flatten)]
    pub id: IdArgs,
    #[arg(long)]
    pub reason: Option<String>,
    /// There was nothing to do about it: of two such incidents that one stream led, and that stream may page no more
    #[arg(long)]
    pub not_actionable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    #[command(flatten)]
    pub id: IdArgs,
    /// Its root cause, or why none is sought
    #[arg(long)]
    pub reason: String,
    /// As of `resolve`: for what has resolved by itself
    #[arg(long)]
    pub not_actionable: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeclareArgs {
    /// What is wrong, in one line
    pub title: String,
    /// How bad it is: sev1 and sev2 page, sev3 is a ticket, sev4 is for the record
    #[arg(long)]
    pub severity: wire::Severity,
    /// The model it is about
    #[arg(long)]
    pub model: Option<String>,
    /// Its version
    #[arg(long, requires = "model")]
    pub model_version: Option<String>,
    /// The team whose it is
    #[arg(long)]
    pub owner: Option<String>,
    #[arg(long, default_value = "other")]
    pub family: wire::Family,
    /// An exercise
    #[arg(long)]
    pub drill: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ClearArgs {
    #[command(flatten)]
    pub id: IdArgs,
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SnoozeArgs {
    #[command(flatten)]
    pub id: IdArgs,
    /// Seconds until it pages again, from the first step
    #[arg(long = "for", value_name = "SECONDS")]
    pub for_s: u64,
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SilenceCommand {
    /// Show what would be muted, and mute it once that is agreed to; what still fires at the end pages then
    Make(Box<SilenceMakeArgs>),
    /// List the silences that have not ended, with what they mute
    List,
    /// End a silence: what still fires pages at once
    End(SilenceEndArgs),
}

/// Every condition that is given must hold; of one that is given more than once, any. `*` stands for any characters.
#[derive(Debug, Args)]
#[group(id = "conditions", multiple = true, required = true, args = ["severity", "family", "model", "subject", "segment", "owner", "tier", "source"])]
pub(crate) struct SilenceMakeArgs {
    #[arg(long)]
    pub severity: Vec<wire::Severity>,
    #[arg(long)]
    pub family: Vec<wire::Family>,
    /// Name of a model
    #[arg(long)]
    pub model: Vec<String>,
    /// Subject as text, such as `dataset:orders`
    #[arg(long)]
    pub subject: Vec<String>,
    /// Name of a segment
    #[arg(long)]
    pub segment: Vec<String>,
    /// The team whose it is
    #[arg(long)]
    pub owner: Vec<String>,
    /// Tier of the model, 1 for the most important
    #[arg(long)]
    pub tier: Vec<u8>,
    /// Who raised it: detector, human, import, dependency, self, drill
    #[arg(long)]
    pub source: Vec<wire::Source>,
    /// How long: 90s, 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", value_parser = crate::feed::duration_ms)]
    pub for_ms: i64,
    /// Why: whoever is not paged will ask
    #[arg(long)]
    pub reason: String,
    /// Most incidents that it mutes, in all; the next one pages [default: those of the preview, or 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub most: Option<u32>,
    /// Mute only what the preview lists, each until it is resolved
    #[arg(long)]
    pub until_resolved: bool,
    /// End earlier when for so long nothing that it mutes was open
    #[arg(long = "unmatched", value_name = "TIME", value_parser = crate::feed::duration_ms)]
    pub unmatched_ms: Option<i64>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SilenceEndArgs {
    /// Id of the silence, or the first letters of it
    pub id: String,
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AssignArgs {
    #[command(flatten)]
    pub id: IdArgs,
    /// `person:NAME`, `team:NAME` or `role:NAME` of the response bundle
    pub to: String,
    #[arg(long)]
    pub note: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    pub id: IdArgs,
    /// The incident that is worked on
    #[arg(long)]
    pub into: String,
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RepinArgs {
    #[command(flatten)]
    pub id: IdArgs,
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NoteArgs {
    #[command(flatten)]
    pub id: IdArgs,
    pub text: String,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// End after so many events
    #[arg(long)]
    pub lines: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    /// How many, the last ones
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The name, as the person's token has it
    #[arg(value_name = "PERSON")]
    pub name: String,
}

#[derive(Debug, Args)]
pub(crate) struct AuditVerifyArgs {
    /// Checkpoints that were kept elsewhere, one JSON object a line: what [audit] checkpoint_file holds
    #[arg(long, value_name = "FILE")]
    pub anchor: Option<PathBuf>,
    /// Believe checkpoints of this key alone, as `tocsin audit key` prints it; may be repeated [default: those that the
    /// process knows]
    #[arg(long, value_name = "HEX")]
    pub public_key: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AuditShowArgs {
    #[command(flatten)]
    pub id: IdArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every record of the chain against the one before it, and against signed checkpoints
    Verify(AuditVerifyArgs),
    /// Tell what happened to one incident, from the audit alone
    Show(AuditShowArgs),
    /// Print the public key of what signs the checkpoints of this config
    Key(ConfigArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReferenceCommand {
    /// Build pinned references from telemetry of healthy days
    Build(ReferenceBuildArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReferenceBuildArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub input: InputArgs,
    /// Folder to write one reference per model version to
    #[arg(long, default_value = "references")]
    pub out: PathBuf,
    /// Write references of telemetry that holds incidents of its own, too
    #[arg(long)]
    pub accept_trouble: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Who will use it
    pub name: String,
    /// What it may do: viewer, responder, lead, tuner, admin
    #[arg(long)]
    pub role: Option<String>,
    /// May write telemetry and context
    #[arg(long)]
    pub ingest: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_can_be_asked_for() {
        Cli::command().debug_assert();
    }
}
