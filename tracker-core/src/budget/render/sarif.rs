//! SARIF 2.1.0, which code scanning reads.

use std::io;

use serde_json::{Value, json};

use super::finding::{Finding, Place, findings, sentence};
use super::{Format, Judged};
use crate::budget::measure::Measure;
use crate::report::escaping;
use crate::report::harmful::escaped;

pub(super) struct Sarif;

/// Most results that GitHub takes.
const MOST: usize = 5000;

impl Format for Sarif {
    fn name(&self) -> &'static str {
        "sarif"
    }

    fn write(&self, judged: &Judged<'_, '_, '_>, out: &mut dyn io::Write) -> io::Result<()> {
        let findings = findings(judged.verdict, judged.root);
        let results: Vec<Value> = findings.iter().flat_map(results).take(MOST).collect();
        let rule = |id: &str, text: &str| json!({"id": id, "shortDescription": {"text": text}});
        let log = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": {"driver": {
                    "name": "memtrack",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": [
                        rule(BUDGET, "A memory budget is exceeded"),
                        rule(LEAK, "More memory is leaked than the budget allows"),
                        rule(TEMPORARY, "More allocations are temporary than the budget allows"),
                    ],
                }},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        });
        escaping::to_writer_pretty(&mut *out, &log)?;
        out.write_all(b"\n")
    }
}

const BUDGET: &str = "memtrack/budget";
const LEAK: &str = "memtrack/leak";
const TEMPORARY: &str = "memtrack/temporary";

fn results(finding: &Finding<'_, '_>) -> Vec<Value> {
    let outcome = finding.outcome;
    let rule = match outcome.limit.measure {
        Measure::Leaked | Measure::LeakedBlocks => LEAK,
        Measure::Temporary | Measure::TemporaryRatio => TEMPORARY,
        _ => BUDGET,
    };
    let level = if finding.fails() { "error" } else { "warning" };
    let said = sentence(outcome);
    if finding.sites.is_empty() {
        return vec![json!({"ruleId": rule, "level": level, "message": {"text": escaped(&said)}, "locations": []})];
    }
    let result = finding.sites.iter().map(|site| {
        json!({
            "ruleId": rule,
            "level": level,
            "message": {"text": escaped(&format!("{said}: {}", site.text()))},
            "locations": site.place.iter().map(location).collect::<Vec<_>>(),
            "partialFingerprints": {"memtrackStack/v1": format!("{}/{}", outcome.title(), site.fingerprint)},
        })
    });
    result.collect()
}

fn location(place: &Place) -> Value {
    json!({"physicalLocation": {
        "artifactLocation": {"uri": uri(&place.path), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": place.line},
    }})
}

/// A relative path as a URI reference.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}
