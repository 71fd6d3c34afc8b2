//! Every export format, decoded strictly, has the numbers of the summary.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use common::{Capture, MEMTRACK, record, record_with, victims};
use serde_json::Value;

/// What `export` writes.
fn export(capture: &Capture, flags: &[&str]) -> Vec<u8> {
    let mut command = Command::new(MEMTRACK);
    command.arg("export").args(flags).arg(&capture.path).stdin(Stdio::null());
    let output = command.output().expect("memtrack runs");
    assert!(output.status.success(), "{flags:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn known(name: &str, flags: &[&str], mode: &str) -> Capture {
    let known = victims().join("known");
    record_with(&format!("exports-{name}"), flags, &[known.to_str().expect("plain path"), mode])
}

/// Captures that between them have threads, processes, reallocs, mappings, deep stacks and blocks of no bytes.
fn captures() -> &'static [Capture] {
    static RECORDED: OnceLock<Vec<Capture>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let modes = ["threads", "fork", "exec", "realloc", "zero", "deep", "places", "churn"];
        let mut captures: Vec<_> = modes.iter().map(|mode| known(mode, &[], mode)).collect();
        captures.push(known("maps", &["--mmap"], "maps"));
        captures
    })
}

/// Allocations, allocated bytes, then blocks and bytes that leaked, then those of the peak.
type Sums = [u64; 6];

fn summary(capture: &Capture, process: Option<usize>) -> Sums {
    ["allocations", "allocated_bytes", "leaked_blocks", "leaked_bytes", "peak_blocks", "peak_bytes"]
        .map(|key| capture.number(process, key))
}

#[test]
fn pprof() {
    for capture in captures() {
        let [allocations, allocated, leaked_blocks, leaked, peak_blocks, peak] = summary(capture, None);
        let read = |metric: &str| read_pprof(&export(capture, &["--format", "pprof", "--metric", metric]));
        assert_eq!(read("peak"), ([allocations, allocated, peak_blocks, peak], "inuse_space".to_owned()));
        let expected = ([allocations, allocated, leaked_blocks, leaked], "inuse_objects".to_owned());
        assert_eq!(read("leaked-blocks"), expected);
    }
}

/// The fields of a message: number, and a number or bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Result<u64, &[u8]>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => Ok(varint(&mut bytes)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Err(value)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number without end");
}

/// The first field of this number.
fn one(message: &[u8], field: u64) -> Option<Result<u64, &[u8]>> {
    fields(message).into_iter().find(|(number, _)| *number == field).map(|(_, value)| value)
}

/// Sums of the four values, and the sample type that is shown first. Every reference must lead somewhere.
fn read_pprof(file: &[u8]) -> ([u64; 4], String) {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    let mut messages: HashMap<u64, Vec<Result<u64, &[u8]>>> = HashMap::new();
    for (number, value) in fields(&bytes) {
        messages.entry(number).or_default().push(value);
    }
    let all = |number: u64| messages.get(&number).into_iter().flatten().map(|value| value.expect_err("a message"));
    let texts: Vec<&str> = all(6).map(|text| std::str::from_utf8(text).expect("text")).collect();
    assert_eq!(texts[0], "");
    let text = |message: &[u8], field: u64| one(message, field).map_or("", |at| texts[at.expect("a number") as usize]);
    let ids = |field: u64| all(field).map(|message| one(message, 1).and_then(Result::ok).expect("an id")).collect();
    let (mappings, locations, functions): (Vec<u64>, Vec<u64>, Vec<u64>) = (ids(3), ids(4), ids(5));
    let types: Vec<_> = all(1).map(|kind| (text(kind, 1), text(kind, 2))).collect();
    let expected =
        [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")];
    assert_eq!(types, expected);
    assert!(texts[..].iter().collect::<std::collections::BTreeSet<_>>().len() == texts.len(), "texts are unique");
    for location in all(4) {
        for (number, value) in fields(location) {
            match number {
                2 => assert!(mappings.contains(&value.expect("a mapping"))),
                4 => assert!(functions.contains(&one(value.expect_err("a line"), 1).expect("function").expect("id"))),
                _ => {}
            }
        }
    }
    let mut sums = [0; 4];
    for sample in all(2) {
        let mut places = one(sample, 1).map_or(&[][..], |places| places.expect_err("packed"));
        while !places.is_empty() {
            assert!(locations.contains(&varint(&mut places)));
        }
        let mut values = one(sample, 2).expect("values").expect_err("packed");
        sums.iter_mut().for_each(|sum| *sum += varint(&mut values));
        assert!(values.is_empty());
        let labels: Vec<_> = fields(sample).into_iter().filter(|(number, _)| *number == 3).collect();
        let keys: Vec<_> = labels.iter().map(|(_, label)| text(label.expect_err("a label"), 1)).collect();
        assert_eq!(keys, ["thread", "process", "allocator", "tid", "pid"]);
    }
    let default = messages[&14][0].expect("a number");
    (sums, texts[default as usize].to_owned())
}

#[test]
fn speedscope() {
    for capture in captures() {
        let file: Value = serde_json::from_slice(&export(capture, &["--format", "speedscope"])).expect("JSON");
        let frames = file["shared"]["frames"].as_array().expect("frames").len() as u64;
        let mut sums = BTreeMap::new();
        for profile in file["profiles"].as_array().expect("profiles") {
            let (samples, weights) = (profile["samples"].as_array(), profile["weights"].as_array());
            let (samples, weights) = (samples.expect("samples"), weights.expect("weights"));
            assert_eq!(samples.len(), weights.len());
            let known = |frame: &Value| frame.as_u64().is_some_and(|frame| frame < frames);
            assert!(samples.iter().all(|stack| stack.as_array().expect("a stack").iter().all(known)));
            let sum: u64 = weights.iter().map(|weight| weight.as_u64().expect("a number")).sum();
            assert_eq!(profile["endValue"], sum);
            sums.insert(profile["name"].as_str().expect("a name").to_owned(), sum);
        }
        let metrics = ["allocations", "allocated", "leaked-blocks", "leaked", "peak-blocks", "peak"];
        assert_eq!(metrics.map(|metric| sums[metric]), summary(capture, None));
        let threads: Vec<u64> = sums.iter().filter(|(name, _)| name.contains(" of thread ")).map(|s| *s.1).collect();
        assert!(threads.is_empty() || threads.iter().sum::<u64>() == sums["peak"], "{sums:?}");
        assert_eq!(file["profiles"][file["activeProfileIndex"].as_u64().expect("a place") as usize]["name"], "peak");
    }
}

#[test]
fn firefox() {
    for capture in captures() {
        let file: Value = serde_json::from_slice(&export(capture, &["--format", "firefox"])).expect("JSON");
        let (mut allocated, mut kept) = (0, 0);
        for thread in file["threads"].as_array().expect("threads") {
            for table in ["stackTable", "frameTable", "funcTable", "resourceTable", "nativeAllocations"] {
                let columns = thread[table].as_object().expect("a table");
                let rows = columns.values().filter_map(Value::as_array).map(Vec::len);
                assert!(rows.into_iter().all(|rows| columns["length"] == rows), "{table}: {columns:?}");
            }
            let column = |table: &str, name: &str| thread[table][name].as_array().expect("a column").clone();
            let within = |table: &str, name: &str, of: &str| {
                let length = thread[of]["length"].as_u64();
                assert!(column(table, name).iter().all(|at| at.as_u64() < length), "{table}.{name}");
            };
            within("nativeAllocations", "stack", "stackTable");
            within("stackTable", "frame", "frameTable");
            within("stackTable", "prefix", "stackTable");
            within("frameTable", "func", "funcTable");
            let weights = column("nativeAllocations", "weight");
            let times: Vec<f64> = column("nativeAllocations", "time").iter().filter_map(Value::as_f64).collect();
            assert!(times.is_sorted() && times.len() == weights.len());
            // Each entry that is taken away was there before, with the same bytes.
            let mut live = HashMap::new();
            for (address, weight) in column("nativeAllocations", "memoryAddress").iter().zip(&weights) {
                let (address, weight) = (address.as_u64().expect("a number"), weight.as_i64().expect("a number"));
                if weight >= 0 && !live.contains_key(&address) {
                    allocated += weight;
                    live.insert(address, weight);
                } else {
                    assert_eq!(live.remove(&address), Some(-weight));
                }
            }
            kept += live.values().sum::<i64>();
        }
        let sums = summary(capture, None);
        assert_eq!([allocated, kept], [sums[1], sums[3]].map(|bytes| bytes as i64));
        for counter in file["counters"].as_array().expect("counters").iter().filter(|c| c["name"] == "malloc") {
            let changes = counter["samples"]["count"].as_array().expect("a column");
            let live = changes.iter().scan(0, |sum, change| {
                *sum += change.as_i64()?;
                Some(*sum)
            });
            assert!(live.into_iter().all(|live| live >= 0), "{counter}");
        }
    }
}

#[test]
fn heaptrack() {
    for capture in captures() {
        let processes = capture.summary["processes"].as_array().expect("processes").len();
        for process in 1..=processes {
            let number = process.to_string();
            let file = export(capture, &["--format", "heaptrack", "--process", &number]);
            let mut expected = summary(capture, Some(process));
            let found = read_heaptrack(&String::from_utf8(file).expect("text"));
            // The format has no word for a mapping that loses a part: what is left is allocated once more.
            if capture.summary["command"][1] == "maps" {
                expected =
                    [expected[0] + 1, expected[1] + 8 * 4096, expected[2], expected[3], expected[4], expected[5]];
            }
            assert_eq!(found, expected);
        }
    }
}

fn read_heaptrack(file: &str) -> Sums {
    let (mut texts, mut places, mut traces, mut infos) = (0, 0, 0, Vec::new());
    let (mut sums, mut live, mut time): (Sums, (u64, u64), u64) = ([0; 6], (0, 0), 0);
    for (line, number) in file.lines().zip(1..) {
        let (kind, rest) = line.split_once(' ').unwrap_or_else(|| panic!("line {number}: {line:?}"));
        if kind == "s" {
            texts += 1;
            continue;
        }
        if kind == "X" {
            continue;
        }
        let hex = |word| u64::from_str_radix(word, 16).unwrap_or_else(|error| panic!("line {number}: {error}"));
        let words: Vec<u64> = rest.split(' ').map(hex).collect();
        match (kind, words.as_slice()) {
            ("v", [0x10400, 2]) | ("I", [_, _]) | ("R", [_]) => {}
            ("i", [_, module, function, file, _]) => {
                assert!([module, function, file].into_iter().all(|text| *text <= texts), "line {number}");
                places += 1;
            }
            ("t", [place, caller]) => {
                assert!((1..=places).contains(place) && *caller <= traces, "line {number}");
                traces += 1;
            }
            ("a", [size, trace]) => {
                assert!((1..=traces).contains(trace), "line {number}");
                infos.push(*size);
            }
            ("c", [ms]) => {
                assert!(*ms > time, "line {number}");
                time = *ms;
            }
            ("+", [info]) => {
                let size = infos[*info as usize];
                live = (live.0 + 1, live.1 + size);
                (sums[0], sums[1]) = (sums[0] + 1, sums[1] + size);
                if live.1 > sums[5] {
                    (sums[4], sums[5]) = live;
                }
            }
            ("-", [info]) => live = (live.0 - 1, live.1 - infos[*info as usize]),
            _ => panic!("line {number}: {line:?}"),
        }
    }
    (sums[2], sums[3]) = live;
    sums
}

#[test]
fn csv() {
    for capture in captures() {
        let file = String::from_utf8(export(capture, &["--format", "csv"])).expect("text");
        let lines: Vec<Vec<&str>> = file.split_terminator("\r\n").map(|line| line.split(',').collect()).collect();
        let (head, lines) = lines.split_first().expect("a head");
        let sum = |name: &str| -> u64 {
            let at = head.iter().position(|column| *column == name).expect("a column");
            lines.iter().map(|line| line[at].parse::<u64>().expect("a number")).sum()
        };
        assert!(lines.iter().all(|line| line.len() == head.len()), "the program has no names that need quotes");
        let columns = ["allocations", "allocated_bytes", "leaked_blocks", "leaked_bytes", "peak_blocks", "peak_bytes"];
        assert_eq!(columns.map(sum), summary(capture, None));
    }
}

/// Every event, replayed: the sums are the summary's, and every block is freed where it was allocated.
#[test]
fn ndjson() {
    for capture in captures() {
        let file = String::from_utf8(export(capture, &["--format", "ndjson"])).expect("text");
        let mut live: HashMap<(u64, u64), Vec<(u64, u64)>> = HashMap::new();
        let mut described: HashMap<(&str, u64), Value> = HashMap::new();
        let (mut sums, mut now, mut before, mut frees): (Sums, (u64, u64), u64, [u64; 3]) = ([0; 6], (0, 0), 0, [0; 3]);
        for line in file.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
            let number = |key: &str| line[key].as_u64().unwrap_or_else(|| panic!("{key} in {line}"));
            let kind = line["type"].as_str().expect("a type");
            match kind {
                "capture" => assert_eq!(line["schema"], "memtrack.events/1"),
                "process" | "thread" | "frame" | "stack" => {
                    let kind = ["process", "thread", "frame", "stack"].into_iter().find(|k| *k == kind).expect("it");
                    if kind == "stack" {
                        let frames = line["frames"].as_array().expect("frames");
                        let known = |frame: &Value| described.contains_key(&("frame", frame.as_u64().expect("it")));
                        assert!(frames.iter().all(known), "{line}");
                    }
                    assert!(described.insert((kind, number(kind)), line.clone()).is_none(), "twice: {line}");
                }
                "unknown_free" => frees[1 + usize::from(line["inherited"] == false)] += 1,
                _ => {
                    for key in ["process", "thread", "stack"] {
                        assert!(described.contains_key(&(key, number(key))), "{line}");
                    }
                    assert!(number("time_ns") >= before, "{line}");
                    before = number("time_ns");
                    let blocks = live.entry((number("process"), number("address"))).or_default();
                    let bytes = number("bytes");
                    match kind {
                        "allocation" => {
                            blocks.push((bytes, number("stack")));
                            now = (now.0 + 1, now.1 + bytes);
                            (sums[0], sums[1]) = (sums[0] + 1, sums[1] + bytes);
                            if now.1 > sums[5] {
                                (sums[4], sums[5]) = now;
                            }
                        }
                        "shrink" => {
                            blocks.last_mut().expect("a mapping").0 -= bytes;
                            now.1 -= bytes;
                        }
                        "free" | "leak" => {
                            let block = blocks.pop().unwrap_or_else(|| panic!("nothing there: {line}"));
                            assert_eq!(block, (bytes, number("stack")), "{line}");
                            now = (now.0 - 1, now.1 - bytes);
                            match kind {
                                "free" => frees[0] += 1,
                                _ => (sums[2], sums[3]) = (sums[2] + 1, sums[3] + bytes),
                            }
                        }
                        other => panic!("{other}: {line}"),
                    }
                }
            }
        }
        assert_eq!(sums, summary(capture, None));
        assert_eq!(frees, ["frees", "inherited_frees", "unmatched_frees"].map(|key| capture.number(None, key)));
        assert_eq!(now, (0, 0));
    }
}

/// A part of the time, and a part of the stacks.
#[test]
fn parts() {
    let capture = known("parts", &[], "threads");
    let stacks = |metric: &str| -> u64 { capture.stacks(metric).values().sum() };
    let file = export(&capture, &["--format", "pprof", "--function", "^take$"]);
    assert_eq!(read_pprof(&file).0[0], capture.under("take", "allocations"));
    let events = |flags: &[&str]| {
        let file = export(&capture, &[&["--format", "ndjson"], flags].concat());
        String::from_utf8(file).expect("text").matches("\"type\":\"allocation\"").count() as u64
    };
    let (early, late) = (events(&["--to", "50%"]), events(&["--from", "50%"]));
    assert_eq!(early + late, stacks("allocations"), "each event is in one half");
    assert_eq!(events(&["--function", "^take$"]), 40_000);
    for (line, text) in [
        ("--format heaptrack --thread 2", "heaptrack finds the peak itself"),
        ("--format firefox --at peak", "firefox holds the whole course of time"),
        ("--format ndjson --at peak", "use --from and --to in place of --at"),
        ("--format csv --metric peak", "csv holds all numbers: leave --metric out"),
        ("--format pprof --metric temporary", "pprof has no place for temporary"),
        ("--format png", "invalid value 'png'"),
    ] {
        let ended = common::run(Command::new(MEMTRACK).arg("export").args(line.split(' ')).arg(&capture.path));
        assert_eq!(ended.status, "exit status: 2", "{line}");
        assert!(ended.stderr.contains(text), "{line}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{line}");
    }
}

/// A capture that is sealed has its events, too.
#[test]
fn sealed_and_not() {
    let capture = record("exports-sealed", &[victims().join("known").to_str().expect("plain path"), "churn"]);
    let unsealed = capture.path.with_extension("copy");
    std::fs::copy(&capture.path, &unsealed).expect("copied");
    let write =
        |path: &Path| export(&Capture { path: path.to_owned(), summary: Value::Null }, &["--format", "heaptrack"]);
    assert_eq!(write(&capture.path), write(&unsealed));
}
