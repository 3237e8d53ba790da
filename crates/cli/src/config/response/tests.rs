use super::*;

struct Made(PathBuf);

impl Made {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("tocsin-response-{name}-{}", std::process::id()));
        for (file, text) in starting(&dir.join("response")) {
            let text = files
                .iter()
                .find(|(n, _)| dir.join("response").join(n) == file)
                .map_or(text, |(_, t)| (*t).into());
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            std::fs::write(file, text).expect("a file");
        }
        for (file, text) in files {
            std::fs::write(dir.join("response").join(file), text).expect("a file");
        }
        std::fs::write(dir.join("tocsin.toml"), crate::config::with_response()).expect("a file");
        Self(dir)
    }

    fn faults(&self) -> String {
        let faults = crate::config::load(&self.0.join("tocsin.toml")).map(drop).unwrap_err();
        let said: Vec<_> = faults.iter().map(ToString::to_string).collect();
        said.join("\n").replace(&self.0.display().to_string(), "")
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("its own folder");
    }
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    let people = PEOPLE.replace("people = [\"ada\", \"grace\"]", "people = [\"ada\", \"grase\"]");
    let zone = PEOPLE.replace("Europe/London", "Europe/Londn");
    let policy = POLICY.replace("schedule:ml", "schedule:mll");
    let class =
        POLICY.replace("{ targets = [\"schedule:ml\"], ", "{ targets = [\"person:ada\"], by = \"mail\", ");
    let handover = SCHEDULES.replace("2026-01-05 09:00\"    #", "Monday\"    #");
    let when = POLICY.replace(
        "targets = [\"team:ml\"], delay_s",
        "targets = [\"team:ml\"], when = { days = [\"sat\"] }, delay_s",
    );
    for (name, file, text, parts) in [
        ("member", "people.toml", people.as_str(), ["/response/people.toml:25:", "did you mean \"grace\"?"]),
        (
            "zone",
            "people.toml",
            zone.as_str(),
            ["/response/people.toml:9:", "there is no time zone \"Europe/Londn\""],
        ),
        ("step", "policy.toml", policy.as_str(), ["/response/policy.toml:17:", "did you mean \"ml\"?"]),
        (
            "handover",
            "schedules.toml",
            handover.as_str(),
            ["/response/schedules.toml:13:", "is not a time such as \"2026-03-02 09:00\""],
        ),
        (
            "class",
            "policy.toml",
            class.as_str(),
            ["/response/policy.toml:17:", "has no `mail` in its contacts"],
        ),
        ("when", "policy.toml", when.as_str(), ["/response/policy.toml:18:", "cannot have a condition"]),
        ("syntax", "policy.toml", "[[route]", ["/response/policy.toml:1:", "]"]),
        (
            "template",
            "templates/engineer.txt",
            "{{ title }}\n{{ titel }}",
            ["/response/templates/engineer.txt:2:", "known are kind,"],
        ),
        (
            "silent",
            "templates/engineer.txt",
            "{{ title }}",
            ["/response/templates/engineer.txt:1:", "{{ what }}"],
        ),
        ("odd", "schedule.toml", "", ["/response/schedule.toml: has no place", "people.toml"]),
    ] {
        let said = Made::new(name, &[(file, text)]).faults();
        assert!(parts.iter().all(|part| said.contains(part)), "{name}: {said}");
    }
}

#[test]
fn a_change_of_any_file_is_a_change() {
    let made = Made::new("whole", &[("README.md", "ours")]);
    let (file, dir) = (made.0.join("tocsin.toml"), made.0.join("response"));
    let whole = || crate::config::whole(&file, &std::fs::read_to_string(&file).expect("a file"));
    let before = whole();
    for name in ["people.toml", "policy.toml", "templates/business.txt"] {
        let text = std::fs::read_to_string(dir.join(name)).expect("a file");
        std::fs::write(dir.join(name), format!("{text}\n")).expect("a file");
        assert_ne!(whole(), before, "{name}");
        std::fs::write(dir.join(name), text).expect("a file");
        assert_eq!(whole(), before, "{name}");
    }
}

#[test]
fn who_is_paged_stands_in_one_place() {
    let made = Made::new("twice", &[]);
    let file = made.0.join("tocsin.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, format!("{text}\n[[route]]\npolicy = \"on-call\"\n")).expect("a file");
    assert!(made.faults().contains("move this to its policy.toml"), "{}", made.faults());
}

#[test]
fn who_only_reviews_a_bundle_needs_none_of_its_secrets() {
    let made = Made::new("secrets", &[]);
    let file = made.0.join("tocsin.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let pager = "[receiver.pager]\ntype = \"pagerduty\"\nrouting_key_env = \"TOCSIN_TEST_IS_NOT_SET\"\n\
                 [audit]\npeople_key_env = \"TOCSIN_TEST_NOR\"\n";
    std::fs::write(&file, format!("{text}\n{pager}")).expect("a file");
    for missing in ["TOCSIN_TEST_IS_NOT_SET", "TOCSIN_TEST_NOR"] {
        assert!(made.faults().contains(missing), "{}", made.faults());
    }
    let checked = crate::config::load_without_secrets(&file).expect("all else is right");
    assert!(!checked.people_key_given);
    std::fs::write(&file, format!("{text}\n{pager}\n[[receiver.pager]]\n")).expect("a file");
    assert!(crate::config::load_without_secrets(&file).is_err(), "what is wrong still is");
}

#[test]
fn the_tests_of_a_new_bundle_pass() {
    let made = Made::new("tests", &[]);
    let checked = crate::config::load(&made.0.join("tocsin.toml")).expect("it is right");
    let tests: escalate::trial::TrialsConfig = toml::from_str(FIRST_TESTS).expect("tests");
    assert!(tests.test.len() >= 3);
    for test in &tests.test {
        let verdict = escalate::trial::run(&checked.policy, test).expect("it is right");
        assert!(verdict.passed(), "{verdict:#?}");
    }
}
