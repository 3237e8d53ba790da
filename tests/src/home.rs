//! A folder of its own for a running tocsin, with the config that `tocsin init` writes and what a test changes in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use toml::Table;

use crate::pager::Pager;

/// A [`Home`] for the program that was built with this test.
#[macro_export]
macro_rules! home {
    ($name:expr) => {
        $crate::home::Home::new(env!("CARGO_BIN_EXE_tocsin-under-test"), $name)
    };
}

/// A temporary folder with a `tocsin.toml`. Goes with everything in it when dropped, unless a test failed in it and
/// `TOCSIN_TEST_KEEP` is set.
#[derive(Debug)]
pub struct Home {
    program: PathBuf,
    folder: PathBuf,
}

impl Home {
    /// A folder with the config of `tocsin init`, but for a free port.
    ///
    /// # Panics
    /// When `tocsin init` fails.
    #[must_use]
    pub fn new(program: &str, name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tocsin-test-{}-{count}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let home = Self { program: program.into(), folder };
        home.ok(&["init"]);
        home.configure("[http]\naddress = \"127.0.0.1:0\"");
        home
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file into the folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("in the folder"))
            .expect("the temporary folder can be written");
        std::fs::write(&path, content).expect("the temporary folder can be written");
        path
    }

    /// Adds a webhook receiver `hook` whose pages `pager` gets.
    ///
    /// # Panics
    /// As [`Home::configure`].
    pub fn hook(&self, pager: &Pager) {
        self.write("hook.secret", Pager::secret());
        self.configure(&format!(
            r#"
            [receiver.hook]
            type = "webhook"
            url = "{}"
            secret_file = "hook.secret"
            allow_private = true
            timeout_s = 2
            "#,
            pager.url
        ));
    }

    /// Puts what `text` says over the config: its tables are merged into the tables that are there, everything else
    /// replaces what was there.
    ///
    /// # Panics
    /// When the text or the config is not TOML.
    pub fn configure(&self, text: &str) {
        let path = self.path("tocsin.toml");
        let old = std::fs::read_to_string(&path).expect("tocsin init wrote it");
        let mut table: Table = old.parse().expect("a config is TOML");
        merge(&mut table, text.parse().expect("TOML"));
        self.write("tocsin.toml", toml::to_string(&table).expect("tables are TOML"));
    }

    /// The references that the demo has checked in: what the simulated fleet at rate 1 looks like when it is healthy.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn pin_references(&self) {
        self.pin_references_of(&[]);
    }

    /// As [`Home::pin_references`], of some models; of all when there are none.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn pin_references_of(&self, models: &[&str]) {
        use std::io::Read as _;
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/cli/src/demo/references.json.gz");
        let packed = std::fs::read(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).expect("packed text");
        let all: Vec<Value> = serde_json::from_str(&text).expect("a list of references");
        let wanted = |r: &&Value| {
            let model = r["profile"]["model"].as_str().expect("a reference names its model");
            models.is_empty() || models.contains(&model)
        };
        for (i, reference) in all.iter().filter(wanted).enumerate() {
            self.write(&format!("references/{i}.json"), reference.to_string());
        }
        self.configure("references = \"references\"");
    }

    /// Models and versions whose references are pinned.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn pinned(&self) -> BTreeSet<(String, String)> {
        let files = std::fs::read_dir(self.path("references")).expect("references are pinned");
        let names = files.map(|file| {
            let text = std::fs::read(file.expect("a folder can be read").path()).expect("a reference");
            let reference: Value = serde_json::from_slice(&text).expect("a reference is JSON");
            let name = |what: &str| reference["profile"][what].as_str().expect("it has one").to_owned();
            (name("model"), name("version"))
        });
        names.collect()
    }

    /// The program, started in the folder, with nothing of the caller's environment that it would heed.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null());
        for variable in ["TOCSIN_SERVER", "TOCSIN_TOKEN", "TOCSIN_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command of the program to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program was built with this test")
    }

    /// Runs a command that must succeed; returns its standard output.
    ///
    /// # Panics
    /// When it does not.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "tocsin {}: {}\n{stdout}{stderr}", args.join(" "), output.status);
        stdout
    }

    /// Runs a command that must succeed with `--json`; returns the JSON on each line.
    ///
    /// # Panics
    /// When it does not, or a line is no JSON.
    #[must_use]
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let all = [args, &["--json"]].concat();
        let lines = self.ok(&all);
        lines.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() && crate::env("TOCSIN_TEST_KEEP").is_some() {
            return;
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
