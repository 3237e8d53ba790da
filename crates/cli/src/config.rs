//! `tocsin.toml`: read once, checked whole, then handed to the parts that own its tables.

pub(crate) mod audit;
pub(crate) mod checkpoints;
mod fault;
pub(crate) mod link;
mod log;
pub mod response;
mod targets;
mod template;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use detect::collect::CollectConfig;
use detect::config::{BudgetSettings, JudgeConfig, JudgeSettings, ModelSettings};
use detect::reference::Reference;
use escalate::ConfigError;
use escalate::config::{At, Bundle, EscalateConfig, PolicyConfig, RouteConfig};
use http_api::HttpConfig;
use receivers::ReceiverConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::parts::WHOLE_BYTES_MAX;

pub use audit::AuditConfig;
pub use fault::{Fault, Part};
pub use log::LogConfig;
use response::{Folder, Response};
pub use template::{TEMPLATE, with_response};
use watch::{CanaryConfig, HeartbeatConfig};

/// Everything that an operator says. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of this installation: part of every topic's name and of every incident's identity. Lower-case letters,
    /// digits and `-`, at most 40; `default` leaves the topics' names short.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Where records live: a Kafka, or one file.
    #[serde(default)]
    pub log: LogConfig,
    /// What telemetry is read, and how.
    #[serde(default)]
    pub telemetry: CollectConfig,
    /// When a stream is judged, and what is large enough to matter.
    #[serde(default)]
    pub judge: JudgeSettings,
    /// How often the fleet may be wrong.
    #[serde(default)]
    pub budget: BudgetSettings,
    /// What cannot be learned from the telemetry, by model.
    #[serde(default)]
    pub models: BTreeMap<String, ModelSettings>,
    /// Folder with pinned references, as `tocsin reference build` writes them; relative to this file. Without one,
    /// what healthy looks like is learned from the first panes.
    #[serde(default)]
    pub references: Option<PathBuf>,
    /// Folder of the response bundle, relative to this file: people, policies, templates. In place of `route` and `policy`.
    #[serde(default)]
    pub response: Option<PathBuf>,
    /// Which incident goes to which policy: the first that matches.
    #[serde(default)]
    pub route: Vec<RouteConfig>,
    /// Who is paged one after the other.
    #[serde(default)]
    pub policy: BTreeMap<String, PolicyConfig>,
    /// Where pages go.
    pub receiver: BTreeMap<String, ReceiverConfig>,
    /// Who is told, outside, that this process is well, and calls somebody when it is not.
    #[serde(default)]
    pub heartbeat: Option<HeartbeatConfig>,
    /// A model of tocsin's own that fails now and then, to see that it would page.
    #[serde(default)]
    pub canary: Option<CanaryConfig>,
    /// Times and limits of escalation.
    #[serde(default)]
    pub escalate: EscalateConfig,
    /// People in the audit chain, and how it is signed.
    #[serde(default)]
    pub audit: AuditConfig,
    /// The one listener.
    #[serde(default)]
    pub http: HttpConfig,
}

fn default_namespace() -> String {
    "default".to_owned()
}

/// A config that is valid as a whole, with what was made of it.
#[derive(Clone, Debug)]
pub struct Checked {
    pub config: Config,
    /// `[telemetry]`, with the secret of its keyed hashes.
    pub telemetry: CollectConfig,
    /// Without the secret of people's pseudonyms where none was given: who escalates makes one.
    pub policy: Arc<escalate::Policy>,
    /// Whether the config gives that secret.
    pub people_key_given: bool,
    /// Keys of links in messages, where the config gives them.
    pub link_keys: Option<wire::link::LinkKeys>,
    /// Whether it gives the key that signs the audit chain: else, who escalates makes one.
    pub signing_key_given: bool,
    pub judge: Arc<JudgeConfig>,
    pub references: Arc<Vec<Reference>>,
    /// Folder of the file: relative paths start here.
    pub dir: PathBuf,
}

/// Reads and checks a config file.
///
/// # Errors
/// Every fault that can be known without a broker.
pub fn load(file: &Path) -> Result<Checked, Vec<Fault>> {
    load_with_text(file).map(|(_, checked)| checked)
}

/// As [`load`], for what needs no secret: those that it names may be elsewhere, as where changes are reviewed.
///
/// # Errors
/// As [`load`], but for secrets that are not there.
pub(crate) fn load_without_secrets(file: &Path) -> Result<Checked, Vec<Fault>> {
    let source = std::fs::read_to_string(file).map_err(|e| vec![Fault::unreadable(file, &e)])?;
    checked(file, &source, |config, _, _| Given::nothing(config))
}

/// As [`load`], with the text that it was read from.
///
/// # Errors
/// As [`load`].
pub(crate) fn load_with_text(file: &Path) -> Result<(String, Checked), Vec<Fault>> {
    let source = std::fs::read_to_string(file).map_err(|e| vec![Fault::unreadable(file, &e)])?;
    let checked = parse(file, &source)?;
    Ok((source, checked))
}

/// Checks a config's text; `file` is for messages and relative paths.
///
/// # Errors
/// Every fault that can be known without a broker.
pub fn parse(file: &Path, source: &str) -> Result<Checked, Vec<Fault>> {
    checked(file, source, |config, dir, wrong| {
        if let Err(why) = link::pagerduty(&config.http, dir) {
            wrong(&[Part::Key("http")], why);
        }
        for (name, receiver) in &config.receiver {
            if let Err(why) = check_secrets(name, receiver, dir) {
                wrong(&[Part::Key("receiver"), Part::Key(name)], why);
            }
        }
        Given::by(config, dir, wrong)
    })
}

/// What is made of the secrets that a config names.
struct Given {
    telemetry: CollectConfig,
    people_key: Option<receivers::Secret>,
    link_keys: Option<wire::link::LinkKeys>,
    checkpoints: Option<escalate::Checkpoints>,
}

/// Takes what is wrong with a key.
type Wrong<'a> = dyn FnMut(&[Part<'_>], String) + 'a;

impl Given {
    fn nothing(config: &Config) -> Self {
        Self { telemetry: config.telemetry.clone(), people_key: None, link_keys: None, checkpoints: None }
    }

    fn by(config: &Config, dir: &Path, wrong: &mut Wrong<'_>) -> Self {
        let telemetry = keyed(&config.telemetry, dir).unwrap_or_else(|why| {
            wrong(&[Part::Key("telemetry"), Part::Key("privacy")], why);
            config.telemetry.clone()
        });
        let people_key = config.audit.key(dir).unwrap_or_else(|why| {
            wrong(&[Part::Key("audit")], why);
            None
        });
        let link_keys = link::given(&config.http.link, dir).unwrap_or_else(|why| {
            wrong(&[Part::Key("http")], why);
            None
        });
        let checkpoints = config.audit.checkpoints(dir).unwrap_or_else(|why| {
            wrong(&[Part::Key("audit")], why);
            None
        });
        Self { telemetry, people_key, link_keys, checkpoints }
    }
}

fn checked(
    file: &Path,
    source: &str,
    given: impl FnOnce(&Config, &Path, &mut Wrong<'_>) -> Given,
) -> Result<Checked, Vec<Fault>> {
    let config: Config =
        toml::from_str(source).map_err(|e| vec![Fault::at(file, source, e.span(), e.message().trim())])?;
    let dir = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    let mut faults = of_itself(&config, (file, source));
    let policy = response(&config, &dir, (file, source))
        .and_then(|folder| policy(&config, folder.as_ref(), (file, source)))
        .map_err(|wrong| faults.extend(wrong))
        .ok();
    let references = match load_references(&config, &dir) {
        Ok(references) => references,
        Err(why) => {
            faults.push(Fault::of_key(file, source, &[Part::Key("references")], why));
            Vec::new()
        }
    };
    let Given { telemetry, people_key, link_keys, checkpoints } =
        given(&config, &dir, &mut |path, why| faults.push(Fault::of_key(file, source, path, why)));
    match policy {
        Some(policy) if faults.is_empty() => {
            let judge = Arc::new(config.judge_config());
            let key = people_key.as_ref().map_or("", receivers::Secret::reveal);
            let policy = policy.with_people_key(key.as_bytes()).with_forgotten(config.audit.forget.clone());
            let policy = policy.with_rates(targets::rates(&config)).with_readers(targets::readers(&config));
            let policy = policy.with_manners(targets::manners(&config));
            let signing_key_given = checkpoints.is_some();
            let policy = match checkpoints {
                Some(checkpoints) => policy.with_checkpoints(checkpoints),
                None => policy,
            };
            Ok(Checked {
                config,
                telemetry,
                policy: Arc::new(policy),
                people_key_given: people_key.is_some(),
                link_keys,
                signing_key_given,
                judge,
                references: Arc::new(references),
                dir,
            })
        }
        _ => Err(faults),
    }
}

/// What is wrong with the tables that need no other file.
fn of_itself(config: &Config, (file, source): (&Path, &str)) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut wrong = |path: &[Part<'_>], why: String| faults.push(Fault::of_key(file, source, path, why));
    if let Err(why) = check_namespace(&config.namespace) {
        wrong(&[Part::Key("namespace")], why);
    }
    if let Err((key, why)) = config.log.check() {
        wrong(&[Part::Key("log"), Part::Key(key)], why);
    }
    if config.http.is_open_to_all() {
        let why = http_api::BindError::OpenToAll { address: config.http.address }.to_string();
        wrong(&[Part::Key("http"), Part::Key("address")], why);
    }
    if let Some((key, why)) = config.heartbeat.as_ref().and_then(|h| h.check(&config.receiver)) {
        wrong(&[Part::Key("heartbeat"), Part::Key(key)], why);
    }
    if let Some((key, why)) = config.canary.as_ref().and_then(|canary| canary.check(&config.judge)) {
        wrong(&[Part::Key("canary"), Part::Key(key)], why);
    }
    faults
}

impl Config {
    /// The judge's part.
    #[must_use]
    pub fn judge_config(&self) -> JudgeConfig {
        JudgeConfig::new(
            &self.namespace,
            self.log.partitions.judge,
            self.telemetry.pane_ms(),
            self.judge.clone(),
            self.budget,
            self.models_with_canary(),
        )
    }

    fn models_with_canary(&self) -> BTreeMap<String, ModelSettings> {
        let mut models = self.models.clone();
        if self.canary.is_some() {
            models.entry(watch::CANARY.to_owned()).or_insert_with(watch::canary_model);
        }
        models
    }
}

/// The collector's config with the secret that the privacy table names.
fn keyed(telemetry: &CollectConfig, dir: &Path) -> Result<CollectConfig, String> {
    let privacy = &telemetry.raw().privacy;
    let secret = match (&privacy.key_env, &privacy.key_file) {
        (Some(name), _) => {
            crate::secrets::env(name).ok_or_else(|| format!("the environment has no variable {name}"))?
        }
        (None, Some(path)) => crate::secrets::file(&dir.join(path))?,
        (None, None) => return Ok(telemetry.clone()),
    };
    Ok(telemetry.clone().keyed(secret.as_bytes()))
}

/// The folder of the response bundle, if there is one.
fn response(
    config: &Config,
    dir: &Path,
    (file, source): (&Path, &str),
) -> Result<Option<Folder>, Vec<Fault>> {
    let Some(folder) = &config.response else { return Ok(None) };
    let twice = [("route", config.route.is_empty()), ("policy", config.policy.is_empty())];
    if let Some((key, _)) = twice.into_iter().find(|(_, is_empty)| !is_empty) {
        let why = format!(
            "who is paged stands in the folder {} (`response`): move this to its policy.toml",
            folder.display()
        );
        return Err(vec![Fault::of_key(file, source, &[Part::Key(key)], why)]);
    }
    Folder::read(&dir.join(folder)).map(Some)
}

fn policy(
    config: &Config,
    folder: Option<&Folder>,
    (file, source): (&Path, &str),
) -> Result<escalate::Policy, Vec<Fault>> {
    let Response { route, policy, people, schedules, silences, stakeholders, templates } = match folder {
        Some(folder) => folder.parse()?,
        None => {
            Response { route: config.route.clone(), policy: config.policy.clone(), ..Response::default() }
        }
    };
    if let Some(why) = config.canary.as_ref().and_then(|_| watch::canary_pages(&route)) {
        return Err(vec![Fault::of_key(file, source, &[Part::Key("canary")], why)]);
    }
    let namespace = config.namespace.clone();
    let escalate = config.escalate.clone();
    let bundle =
        Bundle { namespace, route, policy, escalate, people, schedules, silences, stakeholders, templates };
    let fault = |error: ConfigError| {
        let there = folder.and_then(|folder| folder.fault(&error));
        there.unwrap_or_else(|| Fault::of_key(file, source, &parts(&error.path), error.why))
    };
    let refused = targets::check(&bundle, &config.receiver);
    let checked = escalate::Policy::new(bundle, &config.receiver.keys().cloned().collect());
    match checked {
        Ok(policy) if refused.is_empty() => Ok(policy),
        Ok(_) => Err(refused.into_iter().map(fault).collect()),
        Err(errors) => Err(errors.0.into_iter().chain(refused).map(fault).collect()),
    }
}

/// The text of a config and of the response bundle that it names: what has changed if this has.
pub(crate) fn whole(file: &Path, source: &str) -> String {
    let named = source.parse::<toml::Table>().ok();
    let folder = named.as_ref().and_then(|table| table.get("response")?.as_str());
    let dir = file.parent().unwrap_or(Path::new("."));
    match folder.map(|folder| Folder::read(&dir.join(folder))) {
        None => source.to_owned(),
        Some(Ok(folder)) => format!("{source}\0{}", folder.whole()),
        Some(Err(faults)) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            format!("{source}\0{}", faults.join("\0"))
        }
    }
}

fn parts(path: &[At]) -> Vec<Part<'_>> {
    path.iter()
        .map(|at| match at {
            At::Key(key) => Part::Key(key),
            At::Index(index) => Part::Index(*index),
        })
        .collect()
}

fn check_namespace(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(good) {
        return Err(format!("namespace = {name:?} must be 1 to 40 lower-case letters, digits and `-`"));
    }
    Ok(())
}

/// That each secret is where the config says, without keeping it.
fn check_secrets(name: &str, receiver: &ReceiverConfig, dir: &Path) -> Result<(), String> {
    receivers::Receiver::build(name, receiver, &|source| secret(source, dir))
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Fetches a secret that the config names.
///
/// # Errors
/// When it is not there; never what is in it.
pub fn secret(source: &receivers::SecretSource, dir: &Path) -> Result<receivers::Secret, String> {
    let text = match source {
        receivers::SecretSource::Env(name) => {
            crate::secrets::env(name).ok_or_else(|| format!("the environment has no variable {name}"))
        }
        receivers::SecretSource::File(path) => crate::secrets::file(&dir.join(path)),
    };
    text.map(|t| receivers::Secret::new(&t))
}

fn load_references(config: &Config, dir: &Path) -> Result<Vec<Reference>, String> {
    let mut references = pinned_references(config, dir)?;
    references.extend(config.canary.as_ref().map(|_| watch::canary_reference()));
    Ok(references)
}

fn pinned_references(config: &Config, dir: &Path) -> Result<Vec<Reference>, String> {
    let Some(folder) = &config.references else { return Ok(Vec::new()) };
    let folder = dir.join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map_err(|e| format!("{}: {e}; `tocsin reference build` writes such a folder", folder.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let reference = serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            carried(&reference).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(reference)
        })
        .collect()
}

/// Whether a reference can be handed to a judge, in however many records.
fn carried(reference: &Reference) -> Result<(), String> {
    let bytes = serde_json::to_vec(reference).map_or(0, |json| json.len());
    // A little less than what a reader puts together: there is a name and a schema around it.
    let most = WHOLE_BYTES_MAX - 1024;
    if bytes <= most {
        return Ok(());
    }
    let features = reference.profile.features.len().max(1);
    Err(format!(
        "the reference takes {bytes} bytes and the most is {most}: build it with at most {} of its {features} features \
         (telemetry.features_max) or fewer categories (telemetry.categories_max)",
        features * (most / 1024) / (bytes / 1024)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_that_no_judge_can_be_handed_is_refused() {
        let dir = std::env::temp_dir().join(format!("tocsin-check-{}", std::process::id()));
        let folder = dir.join("references");
        std::fs::create_dir_all(&folder).expect("a folder");
        let of = |name: &str| {
            serde_json::json!({
                "profile": {
                    "model": "m", "version": "v", "digest": "d", "effective_from": "2026-01-01T00:00:00Z",
                    "stage": "final", "latency_edges": [], "features": [], "task": "unknown",
                },
                "window": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
                "records": 1, "labels": 0, "timezone": "UTC",
                "streams": [{"family": "latency", "name": name, "tests": []}],
            })
        };
        let mut config: Config = toml::from_str(TEMPLATE).expect("the template is a config");
        config.references = Some("references".into());
        let write = |value: serde_json::Value| {
            std::fs::write(folder.join("wide.json"), value.to_string()).expect("a file");
        };
        write(of("small"));
        assert_eq!(load_references(&config, &dir).expect("it fits").len(), 1);
        write(of(&"x".repeat(WHOLE_BYTES_MAX)));
        let why = load_references(&config, &dir).expect_err("too large");
        assert!(why.contains("wide.json: the reference takes 671") && why.contains("features_max"), "{why}");
        std::fs::remove_dir_all(&dir).expect("its own folder");
    }
}
