//! A campaign as JUnit XML, for what shows test results.
//!
//! Thousands of seeds that pass are one test case. Each kind of failure is one, under a name that is the same in the
//! next campaign, so that its history can be followed; how many runs failed so and which is in its text.

use std::fmt::Write;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use crate::campaign::{Campaign, first_line, settings_line};
use crate::failures::Failures;

/// What carried the test cases out.
const SUITE: &str = "hstore-sim campaign";

/// The XML.
///
/// # Panics
/// Never: memory takes what is written.
#[must_use]
pub fn junit(campaign: &Campaign) -> String {
    let settings = &campaign.settings;
    let class = format!("{SUITE} {} {}", settings.profile, settings.engine);
    let mut suite = TestSuite::new(class.as_str());
    for (name, value) in [
        ("summary", first_line(campaign)),
        ("settings", settings_line(settings)),
        ("revision", campaign.provenance.revision.clone()),
        ("traces_hash", campaign.traces_hash.clone()),
    ] {
        suite.add_property(Property::new(name, value));
    }
    let took = Duration::try_from_secs_f64(campaign.wall_seconds).unwrap_or_default();
    let mut all = TestCase::new("all checks of all runs", all_runs(campaign));
    all.set_classname(class.as_str()).set_time(took);
    suite.add_test_case(all);
    for failures in &campaign.failures {
        let mut case = TestCase::new(failures.kind.to_string(), status(failures));
        case.set_classname(class.as_str());
        suite.add_test_case(case);
    }
    let mut report = Report::new(SUITE);
    report.set_time(took);
    report.add_test_suite(suite);
    report.to_string().expect("memory takes what is written")
}

fn all_runs(campaign: &Campaign) -> TestCaseStatus {
    if campaign.is_passed() {
        return TestCaseStatus::success();
    }
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(first_line(campaign));
    status
}

fn status(failures: &Failures) -> TestCaseStatus {
    // Where the product panicked or nothing could be judged, the test itself went wrong.
    let kind = match failures.kind.outcome.as_str() {
        "safety" | "liveness" => NonSuccessKind::Failure,
        _ => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    let runs = if failures.count == 1 { "run" } else { "runs" };
    status.set_message(format!("{} {runs}: {}", failures.count, failures.seeds()));
    status.set_type(failures.kind.outcome.as_str());
    let mut text = String::new();
    let _ = writeln!(text, "{}", failures.reproduce);
    let _ = writeln!(text, "{}", failures.cure());
    status.set_description(text);
    status
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::campaign::tests::campaign;
    use crate::findability::Findability;

    #[test]
    fn what_passed_is_one_test() {
        let xml = junit(&campaign(&[], 1.0));
        assert!(
            xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites"),
            "{xml}"
        );
        assert!(xml.contains("tests=\"1\""), "{xml}");
        assert!(!xml.contains("<failure"), "{xml}");
        assert!(
            xml.contains("name=\"traces_hash\" value=\"0123456789abcdef\""),
            "{xml}"
        );
    }

    #[test]
    fn each_kind_of_failure_is_one_and_is_read_back() {
        let failure = |outcome: &str, property: &str| {
            json!({
                "outcome": outcome, "property": property, "checker": "durability", "count": 2,
                "about": "a < b & \"c\" \u{1}", "seeds": [3, 4],
                "reproduce": "hstore-sim run --seed 3 --quorums 'a*b + c'",
                "findability": Findability::of(2, 2000),
            })
        };
        let all = [
            failure("safety", "lost-write"),
            failure("panic", "no-panic"),
        ];
        let xml = junit(&campaign(&all, 1.0));
        let read = Report::deserialize_from_str(&xml).expect("well-formed");
        let suite = &read.test_suites[0];
        assert_eq!((suite.tests, suite.failures, suite.errors), (3, 2, 1));
        let case = &suite.test_cases[1];
        assert!(
            case.name
                .as_str()
                .starts_with("SAFETY lost-write by durability: a < b & \"c\""),
            "{xml}"
        );
        let TestCaseStatus::NonSuccess {
            message,
            description,
            ..
        } = &case.status
        else {
            panic!("it failed: {xml}");
        };
        assert_eq!(
            message.as_ref().map(|it| it.as_str()),
            Some("2 runs: seeds 3, 4")
        );
        let text = description
            .as_ref()
            .map(|it| it.as_str())
            .unwrap_or_default();
        assert!(
            text.contains("--quorums 'a*b + c'") && text.contains("clean runs"),
            "{text}"
        );
    }

    #[test]
    fn one_that_was_interrupted_does_not_pass() {
        let mut some = campaign(&[], 1.0);
        some.complete = false;
        assert!(junit(&some).contains("INCOMPLETE seeds"));
    }
}
