//! Mail arrives: a real Exim, with TLS and a login, takes pages, and what stands in the mailbox is what another mail
//! program makes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tocsin_tests::home;
use tocsin_tests::home::Home;
use tocsin_tests::process::Process;
use tocsin_tests::wait;

const PASSWORD: &str = "not-in-any-log";

/// As whom Exim delivers: Debian's has it, and Exim refuses to write as root.
const USER: &str = "mail";

/// Exim on a free port, with mailboxes for ann and bob. Ends when dropped.
struct Exim {
    child: Child,
    port: u16,
    boxes: PathBuf,
}

impl Exim {
    /// Why there is none, if so.
    fn start(home: &Home) -> Result<Self, String> {
        let there = Command::new("exim4").arg("-bV").output();
        there.map_err(|_| "none is installed (Debian: exim4-daemon-light)".to_owned())?;
        if !rustix::process::geteuid().is_root() {
            return Err("it delivers as another user, which only root may let it".into());
        }
        let port = tocsin_tests::free_port();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let cert = home.write("cert.pem", made.cert.pem());
        let key = home.write("key.pem", made.signing_key.serialize_pem());
        let spool = home.path("spool");
        fs::create_dir(&spool).expect("a folder");
        let boxes = spool.join("boxes");
        let config = home.write("exim.conf", settings(port, [&cert, &key, &spool, &boxes]));
        // What is not root's alone is no config, and its own user reads key and spool.
        for path in [&config, &home.path("key.pem")] {
            set_mode(path, 0o644);
        }
        give(&spool);
        for folder in home.folder().ancestors().take(2) {
            set_mode(folder, 0o755);
        }
        let child = Command::new("exim4")
            .args(["-bdf", "-C"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it answered -bV");
        let started = Self { child, port, boxes };
        wait::until("Exim listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Ok(started)
    }

    /// Every message of a mailbox as Python's library reads it, in order of arrival.
    fn messages(&self, whose: &str) -> Vec<Value> {
        let program = r#"
import email, email.policy, json, mailbox, sys
box = mailbox.Maildir(sys.argv[1], create=False)
read = lambda f: email.message_from_binary_file(f, policy=email.policy.default)
def at(key):  # seconds.MmicrosecondsPprocess.host
    seconds, rest = key.split(".")[:2]
    return int(seconds), int(rest[1:].split("P")[0])
for key in sorted(box.keys(), key=at):
    with box.get_file(key) as f:
        m = read(f)
    said = {k.lower(): str(v) for k, v in m.items()}
    for kind in ("plain", "html"):
        said[kind] = m.get_body((kind,)).get_content()
    said["faults"] = [str(d) for part in m.walk() for d in part.defects]
    print(json.dumps(said))
"#;
        let folder = self.boxes.join(whose);
        if !folder.is_dir() {
            return Vec::new();
        }
        let read = Command::new("python3").args(["-c", program]).arg(folder).output().expect("a Python");
        assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        let lines = String::from_utf8(read.stdout).expect("JSON");
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn nth(&self, whose: &str, n: usize) -> Value {
        wait::until("a message", || self.messages(whose).into_iter().nth(n))
    }
}

/// The config of an Exim that takes mail for ann and bob of whoever logs in over TLS.
fn settings(port: u16, [cert, key, dir, boxes]: [&Path; 4]) -> String {
    let (cert, key, dir, boxes) = (cert.display(), key.display(), dir.display(), boxes.display());
    format!(
        "primary_hostname = mail.test\n\
             exim_user = {USER}\n\
             exim_group = {USER}\n\
             keep_environment =\n\
             daemon_smtp_ports = {port}\n\
             local_interfaces = 127.0.0.1\n\
             spool_directory = {dir}\n\
             log_file_path = {dir}/%slog\n\
             pid_file_path = {dir}/exim.pid\n\
             tls_advertise_hosts = *\n\
             tls_certificate = {cert}\n\
             tls_privatekey = {key}\n\
             acl_smtp_rcpt = rcpt\n\
             begin acl\n\
             rcpt:\n\
             \x20 deny message = nobody of that name\n\
             \x20      local_parts = !ann : !bob\n\
             \x20 accept authenticated = *\n\
             \x20 deny message = who are you?\n\
             begin routers\n\
             all:\n\
             \x20 driver = accept\n\
             \x20 local_parts = ann : bob\n\
             \x20 transport = box\n\
             begin transports\n\
             box:\n\
             \x20 driver = appendfile\n\
             \x20 directory = {boxes}/$local_part_data\n\
             \x20 maildir_format\n\
             \x20 create_directory\n\
             \x20 user = {USER}\n\
             begin authenticators\n\
             plain:\n\
             \x20 driver = plaintext\n\
             \x20 public_name = PLAIN\n\
             \x20 server_advertise_condition = ${{if def:tls_in_cipher}}\n\
             \x20 server_prompts = :\n\
             \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{tocsin}}}}{{eq{{$auth3}}{{{PASSWORD}}}}}}}}}\n\
             \x20 server_set_id = $auth2\n",
    )
}

impl Drop for Exim {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

fn give(folder: &Path) {
    let given = Command::new("chown").args(["-R", &format!("{USER}:")]).arg(folder).status();
    assert!(given.is_ok_and(|status| status.success()), "a user {USER}");
}

#[test]
fn mail_is_one_thread_that_others_can_read_and_one_bad_address_holds_up_nobody() {
    let home = home!("mail");
    let exim = match Exim::start(&home) {
        Ok(exim) => exim,
        Err(why) => return tocsin_tests::not_tested(&format!("mail through a real Exim; {why}")),
    };
    home.write("password", PASSWORD);
    set_mode(&home.path("password"), 0o600);
    home.configure(&format!(
        r#"
        [receiver.mail]
        type = "smtp"
        host = "127.0.0.1"
        port = {}
        from = "tocsin@mail.test"
        username = "tocsin"
        password_file = "password"
        ca_file = "cert.pem"
        allow_private = true
        [policy.default]
        fallback = "inbox/on-call"
        steps = [{{ targets = ["mail/gone@mail.test", "mail/ann@mail.test"], delay_s = 3600 }}]
        "#,
        exim.port
    ));
    let process = Process::start(&home, &[]);
    let title = "Prüfung fällt aus — 38 % über der Grenze, 再試行";
    home.ok(&["declare", title, "--severity", "sev2", "--model", "fraud", "--owner", "risk"]);

    let called = exim.nth("ann", 0);
    let text = |message: &Value, field: &str| message[field].as_str().unwrap_or_default().to_owned();
    assert!(text(&called, "subject").contains(title), "{called:#}");
    assert!(text(&called, "plain").contains(title) && text(&called, "html").contains(title), "{called:#}");
    assert_eq!(called["faults"], Value::Array(vec![]), "{called:#}");
    assert_eq!(text(&called, "to"), "ann@mail.test");
    assert_eq!(text(&called, "auto-submitted"), "auto-generated");
    assert!(text(&called, "received").contains("TLS"), "{called:#}");

    // The address that there is none of was refused for good, and somebody else was called in its place.
    let instead = wait::until("the fallback", || {
        let pages = process.json("/v1/inbox").as_array().cloned().unwrap_or_default();
        pages.into_iter().find(|page| page.to_string().contains(title))
    });
    assert!(instead.to_string().contains("on-call"), "{instead:#}");

    let incidents = home.json(&["incidents"]);
    let id = incidents.iter().find(|i| i["incident"]["title"] == title).expect("it is open")["incident"]
        ["incident_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    home.ok(&["ack", &id, "--note", "ich sehe nach"]);
    let taken = exim.nth("ann", 1);
    home.ok(&["resolve", &id, "--reason", "behoben"]);
    let over = exim.nth("ann", 2);
    for later in [&taken, &over] {
        assert_eq!(text(later, "references"), text(&called, "references"), "one thread");
        assert_ne!(text(later, "message-id"), text(&called, "message-id"));
        assert_eq!(later["faults"], Value::Array(vec![]), "{later:#}");
    }
    wait::stays("three messages", std::time::Duration::from_secs(2), || exim.messages("ann").len() == 3);
    let (ended, said) = process.terminate();
    assert!(ended.success(), "{ended}: {said}");
    assert!(!said.contains(PASSWORD), "{said}");
}
