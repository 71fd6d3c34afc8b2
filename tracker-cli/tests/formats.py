"""Reads the results out.* in this folder, of a budget whose limits on leaks and resident memory are broken, with parsers of
other people, and checks what the formats' consumers insist on."""
import json
import re
import xml.etree.ElementTree as xml


def text(name):
    with open("out." + name, encoding="utf-8", newline="") as file:
        return file.read()


verdict = json.loads(text("json"))
assert verdict["schema"] == "memtrack.check/1" and verdict["passed"] is False

# JUnit: counts agree with what is there.
suites = xml.fromstring(text("junit"))
assert suites.tag == "testsuites"
(suite,) = suites
cases = suite.findall("testcase")
assert len(cases) == int(suite.get("tests")) == int(suites.get("tests")) == 4
assert len(suite.findall("testcase/failure")) == int(suite.get("failures")) == 2
assert len(suite.findall("testcase/skipped")) == int(suite.get("skipped")) == 1
assert all(case.get("name") and case.get("classname") for case in cases)
leak = suite.find("testcase[@name='leaked']/failure")
assert "9.8 KiB" in leak.get("message") and "take" in leak.text, leak.text
assert {p.get("name") for p in suite.findall("properties/property")} >= {"leaked", "allocs", "rss"}

# GitLab: an array, each issue with all required members and a fingerprint of its own.
issues = json.loads(text("gitlab"))
assert len(issues) == 2
for issue in issues:
    assert set(issue) == {"description", "check_name", "fingerprint", "severity", "location"}
    assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
    assert not issue["location"]["path"].startswith(("/", "./"))
    assert issue["location"]["lines"]["begin"] >= 1
assert len({issue["fingerprint"] for issue in issues}) == len(issues)

# SARIF: the required members of each object, rules that exist, relative URIs.
log = json.loads(text("sarif"))
assert log["version"] == "2.1.0" and set(log) == {"$schema", "version", "runs"}
(run,) = log["runs"]
rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
assert run["tool"]["driver"]["name"] == "memtrack" and len(set(rules)) == len(rules)
assert len(run["results"]) == 2
for result in run["results"]:
    assert result["ruleId"] in rules and result["level"] in {"none", "note", "warning", "error"}
    assert result["message"]["text"]
    for location in result["locations"]:
        physical = location["physicalLocation"]
        assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", physical["artifactLocation"]["uri"])
        assert physical["region"]["startLine"] >= 1

# GitHub: one command per line, nothing unescaped in its properties.
lines = text("github").splitlines()
assert len(lines) == 2
for line in lines:
    assert re.fullmatch(r"::(error|warning) (file=[^:,]+,line=\d+,)?title=[^:,]+::[^\r\n]+", line), line

# Markdown: a table whose rows have all of its columns.
rows = [line for line in text("markdown").splitlines() if line.startswith("|")]
assert len(rows) == 2 + 4
assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}, rows
