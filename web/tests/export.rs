//! The exported file: whole, alone, and closed against what names in it would like to be.

#[path = "../examples/synthetic/mod.rs"]
#[allow(dead_code, reason = "the example's other profiles are not needed here")]
mod synthetic;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tracker_core::report::profile::Profile;
use tracker_core::report::suppress::Applied;
use web::export_html;

fn export(profile: &Profile) -> String {
    let mut out = Vec::new();
    export_html(profile, "</script><b>name.mtk", &Applied::builtin(profile), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What stands between the two texts.
fn between<'a>(html: &'a str, start: &str, end: &str) -> &'a str {
    html.split_once(start).unwrap().1.split_once(end).unwrap().0
}

#[test]
fn data_comes_back_as_it_went_in() {
    let html = export(&synthetic::small());
    let data: Value = serde_json::from_str(between(&html, "id=\"data\">", "</script>")).unwrap();
    let packed = STANDARD.decode(data["data"].as_str().unwrap()).unwrap();
    let json = miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap();
    assert_eq!(json.len() as u64, data["length"].as_u64().unwrap());
    let columns: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(columns["schema"], "memtrack.page/1");
    assert_eq!(columns["summary"]["name"], "</script><b>name.mtk");
}

#[test]
fn markup_is_the_same_whatever_the_names_are() {
    let shell = |profile: &Profile| {
        let html = export(profile);
        let (before, rest) = html.split_once("id=\"data\">").unwrap();
        format!("{before}{}", rest.split_once("</script>").unwrap().1)
    };
    assert_eq!(shell(&synthetic::small()), shell(&synthetic::hostile()));
}

#[test]
fn nothing_is_fetched() {
    let html = export(&synthetic::several_processes());
    assert!(html.contains("default-src &#39;none&#39;"));
    for word in ["src=", "href=\"http", "http-equiv=\"refresh", "url(", "@import"] {
        assert!(!html.contains(word), "the page contains {word}");
    }
    let map: Value = serde_json::from_str(
        between(&html, "<script type=\"importmap\" nonce=\"", "</script>").split_once('>').unwrap().1,
    )
    .unwrap();
    for (name, address) in map["imports"].as_object().unwrap() {
        assert!(address.as_str().unwrap().starts_with("data:text/javascript;base64,"), "{name}");
    }
}

#[test]
fn every_script_and_style_carries_the_nonce() {
    let html = export(&synthetic::small());
    for (at, _) in html.match_indices("<script").chain(html.match_indices("<style")) {
        let tag = html[at..].split('>').next().unwrap();
        assert!(tag.contains("nonce=") || tag.contains("application/json"), "{tag}");
    }
}

#[test]
fn errors_of_the_output_are_passed_on() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = export_html(&synthetic::small(), "", &Applied::default(), &mut Full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}
