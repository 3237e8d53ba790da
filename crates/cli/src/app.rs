//! One process: a log, the roles on it, the listener. Used by `run` and `demo` alike.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use receivers::{Receiver, ReceiverConfig, SecretSource};
use runtime::canary::{Song, sing};
use runtime::checkpoints::Checkpoints;
use runtime::clock::Clock;
use runtime::collect::{CollectLoop, SourceSpec};
use runtime::escalate::EscalateLoop;
use runtime::host::drive;
use runtime::judge::JudgeLoop;
use runtime::log::{EmbeddedConfig, EmbeddedLog, KafkaConfig, KafkaLog, Log, LogError};
use runtime::sends::Receivers;
use runtime::settings::Settings;
use runtime::topics::{Partitions, owned};
use runtime::views::Views;
use wire::context::ContextRecord;
use wire::topic::Topics;

use crate::args::Role;
use crate::backend::{Auditing, Backend};
use crate::config::watch::CANARY;
use crate::config::{Checked, audit, checkpoints, link};
use crate::failure::{Failure, Kind};
use crate::reload::{InForce, Watch};

/// The log that a config asks for.
pub(crate) enum AnyLog {
    Kafka(KafkaLog),
    Embedded(EmbeddedLog),
}

/// Connects to the config's Kafka, or opens its file.
///
/// # Errors
/// When it cannot be reached or opened; says what to do.
pub(crate) fn open_log(checked: &Checked) -> Result<AnyLog, Failure> {
    let log = &checked.config.log;
    let Some(brokers) = &log.brokers else {
        let path = checked.dir.join(&log.path);
        return Ok(AnyLog::Embedded(EmbeddedLog::open(EmbeddedConfig::file(path))?));
    };
    let mut kafka = KafkaConfig::new(brokers);
    kafka.client_id = format!("tocsin-{}", log.instance);
    kafka.replication = Some(log.replication);
    kafka.settings.extend(log.kafka.clone());
    let transaction_ms = log.transaction_ms().map_err(|e| Failure::new(Kind::CannotStart, e))?;
    kafka.transaction_timeout = Duration::from_millis(transaction_ms);
    let password = match (&log.sasl_password_env, &log.sasl_password_file) {
        (Some(name), _) => Some(crate::secrets::env(name).ok_or_else(|| {
            Failure::new(Kind::CannotStart, format!("the environment has no variable {name}"))
        })?),
        (None, Some(file)) => Some(
            crate::secrets::file(&checked.dir.join(file)).map_err(|e| Failure::new(Kind::CannotStart, e))?,
        ),
        (None, None) => None,
    };
    if let Some(password) = password {
        kafka.settings.insert("sasl.password".to_owned(), password);
    }
    Ok(AnyLog::Kafka(KafkaLog::connect(kafka)?))
}

/// A running process. Dropping it does not stop it: call [`App::stop`].
pub(crate) struct App {
    pub views: Arc<Views>,
    /// `http://…` where it listens.
    pub address: String,
    pub stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), LogError>>>,
    /// They end once the roles that hand them something have.
    writers: Vec<JoinHandle<()>>,
    tokio: Option<tokio::runtime::Runtime>,
    client_file: Option<PathBuf>,
    in_force: InForce,
    settings: Settings,
    clock: Clock,
    links: Option<Arc<wire::link::Links>>,
}

/// What a process is told beside its config.
pub(crate) struct Options {
    pub roles: Vec<Role>,
    pub stop: Arc<AtomicBool>,
    /// Where to leave address and token for the command line.
    pub client_file: Option<PathBuf>,
}

impl App {
    /// Creates what is missing, restores what was, and starts every role and the listener.
    ///
    /// # Errors
    /// Anything that keeps it from starting; nothing is left running.
    pub(crate) fn start<L: Log>(log: L, checked: &Checked, options: Options) -> Result<Self, Failure> {
        let metrics = metrics_recorder()?;
        let settings = settings(checked);
        let sources = sources(checked, &settings.topics);
        prepare(&log, checked, &settings, &sources)?;
        let clock = Clock::start();
        let policy = policy(checked, &options.roles)?;
        let in_force = InForce::new(checked, &policy, clock.now().wall);
        let views = Arc::new(Views::default());
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| Failure::new(Kind::CannotStart, format!("no threads: {e}")))?;
        let receivers = receivers(checked)?;
        let keys = checkpoints::known(checked, &policy).map_err(|e| Failure::new(Kind::CannotStart, e))?;
        let names = names_people(checked, &options.roles);
        let auditing = Auditing { keys, policy: Arc::clone(&policy), names };
        let entered = tokio.enter();
        let backend = Backend::new(
            log.clone(),
            checked,
            auditing,
            settings.clone(),
            Arc::clone(&views),
            receivers.clone(),
            metrics,
            clock,
            Arc::clone(&in_force.status),
        );
        drop(entered);
        let link_keys = link::keys(checked).map_err(|e| Failure::new(Kind::CannotStart, e))?;
        let links = link_keys.clone().and_then(|keys| checked.config.http.link.links(keys)).map(Arc::new);
        let server = tokio
            .block_on(http_api::Server::bind(checked.config.http.clone()))
            .map_err(|e| Failure::new(Kind::CannotStart, e.to_string()))?
            .trust(trusted(checked, link_keys)?);
        let address = format!("http://{}", server.local_addr());
        let stopping = Arc::clone(&options.stop);
        tokio.spawn(async move {
            let ended = async move {
                while !stopping.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            server.serve(Arc::new(backend), ended).await;
        });
        if let Some(file) = &options.client_file {
            crate::client::leave_address(file, &address)?;
        }
        let mut app = Self {
            views,
            address,
            stop: Arc::clone(&options.stop),
            threads: Vec::new(),
            writers: Vec::new(),
            tokio: None,
            client_file: options.client_file,
            in_force,
            settings,
            clock,
            links,
        };
        let handle = tokio.handle().clone();
        app.tokio = Some(tokio);
        for role in &options.roles {
            app.start_role(*role, &log, checked, &sources, &receivers, &handle, &policy)?;
        }
        // Once every role has said what it waits for.
        app.start_heartbeat(checked, &receivers, &handle);
        app.start_canary(&log, checked, &sources[0])?;
        Ok(app)
    }

    #[expect(clippy::too_many_arguments, reason = "what a role needs, used once")]
    fn start_role<L: Log>(
        &mut self,
        role: Role,
        log: &L,
        checked: &Checked,
        sources: &[SourceSpec],
        receivers: &[Arc<Receiver>],
        handle: &tokio::runtime::Handle,
        policy: &Arc<escalate::Policy>,
    ) -> Result<(), Failure> {
        let (views, stop) = (Arc::clone(&self.views), Arc::clone(&self.stop));
        let (settings, clock) = (self.settings.clone(), self.clock);
        match role {
            Role::Collect => {
                let config = Arc::new(checked.telemetry.clone());
                for (thread, source) in sources.iter().enumerate() {
                    let work = CollectLoop::new(
                        log.clone(),
                        settings.clone(),
                        Arc::clone(&config),
                        source.clone(),
                        thread,
                        Arc::clone(&views),
                        clock,
                    )?;
                    self.threads.push(drive(work, clock, Arc::clone(&stop), Arc::clone(&views)));
                }
            }
            Role::Judge => {
                let work = JudgeLoop::new(
                    log.clone(),
                    settings.clone(),
                    Arc::clone(&self.in_force.judge),
                    Arc::clone(&checked.references),
                    Arc::clone(&views),
                    clock,
                )?;
                self.threads.push(drive(work, clock, stop, views));
            }
            Role::Escalate => {
                let (policy, live) = (Arc::clone(policy), Arc::clone(&self.in_force.escalate));
                let (of, partitions) = (Arc::clone(&live), settings.escalate_partitions);
                let make = Box::new(move |partition| {
                    // What was loaded was checked; without it, what the process started with.
                    let renewed = policy.renewed(of.get().bundle.clone());
                    let policy = renewed.map_or_else(|_| Arc::clone(&policy), Arc::new);
                    escalate::Machine::new(partition, policy).among(partitions)
                });
                let sends =
                    Receivers::new(receivers.iter().cloned(), handle.clone(), clock, Arc::clone(&views))
                        .with_log(log.clone())
                        .with_links(self.links.clone());
                let (checkpoints, thread) = leave_checkpoints(checked)?;
                self.writers.push(thread);
                let work = EscalateLoop::new(
                    log.clone(),
                    settings.clone(),
                    make,
                    live,
                    sends,
                    Arc::clone(&views),
                    clock,
                )?;
                let work = work.with_checkpoints(Some(checkpoints));
                self.threads.push(drive(work, clock, stop, views));
            }
        }
        Ok(())
    }

    /// Signs of life, if a checker outside is named.
    fn start_heartbeat(
        &self,
        checked: &Checked,
        receivers: &[Arc<Receiver>],
        handle: &tokio::runtime::Handle,
    ) {
        let Some(heartbeat) = &checked.config.heartbeat else { return };
        let who = format!("tocsin {} {}", self.settings.namespace, self.settings.instance);
        let checker = receivers.iter().find(|receiver| receiver.name() == heartbeat.receiver);
        let checker = Arc::clone(checker.expect("the config was checked"));
        let every = Duration::from_secs(heartbeat.every_s);
        handle.spawn(runtime::heartbeat::beat(checker, every, who, Arc::clone(&self.views), self.clock));
    }

    /// The canary's telemetry, if there is to be one.
    fn start_canary<L: Log>(
        &mut self,
        log: &L,
        checked: &Checked,
        source: &SourceSpec,
    ) -> Result<(), Failure> {
        let Some(canary) = &checked.config.canary else { return Ok(()) };
        let (log, topic, fields) =
            (log.clone(), source.topic.clone(), checked.telemetry.raw().fields.clone());
        let (clock, stop) = (self.clock, Arc::clone(&self.stop));
        let song = Song {
            model: CANARY.to_owned(),
            version: self.settings.instance.clone(),
            every_ms: i64::try_from(canary.every_s * 1_000).unwrap_or(i64::MAX),
        };
        let run = move || sing(&log, &topic, &fields, &song, clock, &stop);
        let thread = std::thread::Builder::new().name("canary".to_owned()).spawn(run);
        let failed = |e| Failure::new(Kind::CannotStart, format!("no thread for the canary: {e}"));
        self.writers.push(thread.map_err(failed)?);
        Ok(())
    }

    /// Looks after the config file for as long as the process runs, and whenever `asked` becomes true.
    ///
    /// # Errors
    /// When the machine has no thread to give.
    pub(crate) fn watch<L: Log>(
        &mut self,
        log: L,
        file: (PathBuf, String),
        checked: &Checked,
        asked: Arc<AtomicBool>,
    ) -> Result<(), Failure> {
        let around = (log, self.settings.clone(), self.clock);
        let mut watch = Watch::new(file, checked.clone(), around, self.in_force.clone(), asked);
        let stop = Arc::clone(&self.stop);
        let run = move || {
            while !stop.load(Ordering::Relaxed) {
                watch.step();
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("config".to_owned()).spawn(run);
        let failed = |e| Failure::new(Kind::CannotStart, format!("no thread for the config file: {e}"));
        self.threads.push(thread.map_err(failed)?);
        Ok(())
    }

    /// True once every role has restored its state and has its partitions.
    #[must_use]
    pub(crate) fn is_ready(&self) -> bool {
        self.views.readiness().iter().all(|(_, waiting)| waiting.is_none())
    }

    /// Asks everything to finish, waits for the last commits, and closes the listener.
    ///
    /// # Errors
    /// The first role that failed.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut first = Ok(());
        for thread in self.threads.drain(..) {
            let ended = thread.join().map_err(|_| Failure::new(Kind::CannotStart, "a role panicked"));
            let ended = ended.and_then(|r| r.map_err(Failure::from));
            if first.is_ok() {
                first = ended;
            }
        }
        for writer in self.writers.drain(..) {
            drop(writer.join());
        }
        if let Some(tokio) = self.tokio.take() {
            tokio.shutdown_timeout(Duration::from_secs(2));
        }
        if let Some(file) = &self.client_file {
            drop(std::fs::remove_file(file));
        }
        first
    }
}

fn metrics_recorder() -> Result<PrometheusHandle, Failure> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
        .map_err(|e| Failure::new(Kind::CannotStart, e.to_string()))?
        .install_recorder()
        .map_err(|e| Failure::new(Kind::CannotStart, format!("metrics: {e}")))?;
    runtime::metrics::describe();
    metrics::gauge!(runtime::metrics::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

pub(crate) fn settings(checked: &Checked) -> Settings {
    let config = &checked.config;
    let log = &config.log;
    Settings {
        namespace: config.namespace.clone(),
        instance: log.instance.clone(),
        topics: Arc::new(Topics::of(&config.namespace)),
        judge_partitions: log.partitions.judge,
        escalate_partitions: log.partitions.escalate,
        collect_partitions: log.partitions.collect,
        commit_every: Duration::from_millis(log.commit_ms),
        progress_every: Duration::from_millis(config.telemetry.pane_ms().unsigned_abs().clamp(1_000, 60_000)),
        idle: Duration::from_secs(config.telemetry.raw().idle_s),
        hold_max: Duration::from_secs(log.hold_max_s),
    }
}

pub(crate) fn sources(checked: &Checked, topics: &Topics) -> Vec<SourceSpec> {
    let telemetry = checked.telemetry.raw();
    let topic = telemetry.topic.clone().unwrap_or_else(|| topics.telemetry.clone());
    vec![SourceSpec { topic, labels_topic: telemetry.labels.topic.clone() }]
}

/// Topics, and the profiles of pinned references for the collectors.
fn prepare<L: Log>(
    log: &L,
    checked: &Checked,
    settings: &Settings,
    sources: &[SourceSpec],
) -> Result<(), Failure> {
    let p = checked.config.log.partitions;
    let partitions =
        Partitions { telemetry: p.telemetry, judge: p.judge, escalate: p.escalate, collect: p.collect };
    let own_telemetry = sources.iter().any(|s| s.topic == settings.topics.telemetry);
    log.ensure_topics(&owned(&settings.topics, partitions, own_telemetry), checked.config.log.create_topics)?;
    for receiver in checked.config.receiver.values() {
        if let ReceiverConfig::Topic(to) = receiver
            && log.partitions(&to.topic)?.is_none()
        {
            log.ensure_topics(&[runtime::topics::of_pages(&to.topic)], checked.config.log.create_topics)?;
        }
    }
    let profiles: Vec<_> = checked
        .references
        .iter()
        .flat_map(|r| {
            let record = ContextRecord::Profile(Box::new(r.profile.clone()));
            runtime::context_records(settings, record)
        })
        .collect();
    if !profiles.is_empty() {
        log.append(&profiles)?;
    }
    Ok(())
}

/// Whether this process knows as whom people appear in the audit.
fn names_people(checked: &Checked, roles: &[Role]) -> bool {
    checked.people_key_given || roles.contains(&Role::Escalate)
}

/// Where checkpoints of the audit go.
fn leave_checkpoints(checked: &Checked) -> Result<(Checkpoints, JoinHandle<()>), Failure> {
    let config = &checked.config;
    let path = config.audit.checkpoint_path(&checked.dir, &config.log);
    let failed = |e| {
        Failure::new(
            Kind::CannotStart,
            format!(
                "{}: {e}; checkpoints of the audit go there, or where [audit] checkpoint_file says",
                path.display()
            ),
        )
    };
    Checkpoints::start(&path).map_err(failed)
}

/// The policy, with a key that signs the audit and a secret for people's pseudonyms where somebody escalates.
fn policy(checked: &Checked, roles: &[Role]) -> Result<Arc<escalate::Policy>, Failure> {
    let policy = pseudonyms(checked, roles)?;
    if checked.signing_key_given || !roles.contains(&Role::Escalate) {
        return Ok(policy);
    }
    if checked.config.log.brokers.is_some() {
        // Another process may own a partition next, and would not know a key that was made here.
        tracing::warn!(
            "the audit has no checkpoints: give all processes the same key with [audit] checkpoint_key_file, made by `openssl rand -hex 32`"
        );
        return Ok(policy);
    }
    let own = checkpoints::own(checked).map_err(|e| Failure::new(Kind::CannotStart, e))?;
    Ok(Arc::new(escalate::Policy::clone(&policy).with_checkpoints(own)))
}

fn pseudonyms(checked: &Checked, roles: &[Role]) -> Result<Arc<escalate::Policy>, Failure> {
    if checked.people_key_given || !roles.contains(&Role::Escalate) {
        return Ok(Arc::clone(&checked.policy));
    }
    let log = &checked.config.log;
    let file = audit::key_file(&checked.dir.join(&log.path));
    if log.brokers.is_some() {
        let file = file.display();
        tracing::warn!(%file, "pseudonyms in the audit are made with this process's own key: give all the same with [audit] people_key_file");
    }
    let key = audit::own_key(&file).map_err(|e| Failure::new(Kind::CannotStart, e))?;
    Ok(Arc::new(escalate::Policy::clone(&checked.policy).with_people_key(key.reveal().as_bytes())))
}

fn receivers(checked: &Checked) -> Result<Vec<Arc<Receiver>>, Failure> {
    let dir: &Path = &checked.dir;
    checked
        .config
        .receiver
        .iter()
        .map(|(name, config)| {
            Receiver::build(name, config, &|source| crate::config::secret(source, dir))
                .map(Arc::new)
                .map_err(|e| Failure::new(Kind::CannotStart, format!("receiver {name}: {e}")))
        })
        .collect()
}

/// Whose signatures are believed.
fn trusted(checked: &Checked, links: Option<wire::link::LinkKeys>) -> Result<http_api::Trusted, Failure> {
    let pagerduty = link::pagerduty(&checked.config.http, &checked.dir)
        .map_err(|e| Failure::new(Kind::CannotStart, format!("[http] {e}")))?;
    Ok(http_api::Trusted { links, slack: slack_apps(checked)?, pagerduty })
}

/// Apps whose buttons are believed, by the receivers that they belong to.
fn slack_apps(checked: &Checked) -> Result<Vec<http_api::SlackApp>, Failure> {
    let signed = checked.config.receiver.iter().filter_map(|(name, config)| {
        let ReceiverConfig::Slack(slack) = config else { return None };
        slack.signing_secret.as_ref().map(|source| (name, source))
    });
    let app = |(name, source): (&String, &SecretSource)| {
        let secret = crate::config::secret(source, &checked.dir)
            .map_err(|e| Failure::new(Kind::CannotStart, format!("receiver {name}: {e}")))?;
        Ok(http_api::SlackApp::new(name, secret.reveal()))
    };
    signed.map(app).collect()
}
