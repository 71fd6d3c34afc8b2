//! Everything that is made of a profile: JSON, exports, the page.

use serde_json::Value;
use tracker_core::export::{self, Exporter, Request};
use tracker_core::report::diff::Diff;
use tracker_core::report::events::Recorded;
use tracker_core::report::filter::Selection;
use tracker_core::report::metric::Metric;
use tracker_core::report::profile::Profile;
use tracker_core::report::rows::{Kind, Limits, Report};
use tracker_core::report::stats::Stats;
use tracker_core::report::summary::Summary;
use tracker_core::report::suppress::Applied;
use tracker_core::report::tree::Tree;
use web::export_html;

use super::replay::profile;
use crate::repair::repair;

/// Any records have every view; the JSON parses, and nothing of the capture is markup in the page.
pub fn views(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    repair(&mut bytes);
    all(&profile(&bytes), &bytes);
}

/// Makes everything that is made of a profile, and of the events in `bytes`.
pub(super) fn all(profile: &Profile, bytes: &[u8]) {
    let selection = Selection::whole(profile);
    json(&Summary::of(&selection));
    for kind in [Kind::Leaks, Kind::Peak, Kind::Temporary, Kind::Allocations] {
        json(&Report::new(selection.clone(), kind, &Limits::default(), &Applied::builtin(profile)));
    }
    Stats::of(&selection, 10);
    json(&Diff::new(vec![selection.clone(); 2], vec![selection.clone()], Metric::Peak));
    let window = profile.slices.window(0..profile.slices.len(), profile.rows.len());
    assert_eq!(window.rows.len(), profile.rows.len());
    for metric in Metric::ALL {
        let tree = Tree::new(&selection, metric, metric == Metric::Peak);
        assert_eq!(tree.total, selection.total(metric));
        // Those that hold all metrics are the same for each.
        let once = |exporter: &&dyn Exporter| metric == Metric::Peak || !exporter.limits().all_metrics;
        for exporter in export::ALL.into_iter().filter(once) {
            let mut progress = |_, _| {};
            let events = &mut Recorded::new(bytes, profile, &mut progress);
            let request = Request { selection: &selection, metric, events };
            exporter.export(request, &mut std::io::sink()).expect("a sink takes everything");
        }
    }
    let mut page = Vec::new();
    export_html(profile, "", &Applied::builtin(profile), &mut page).expect("a vector takes everything");
    let page = String::from_utf8(page).expect("a page is UTF-8");
    assert_eq!(page.matches("</script>").count(), page.matches("<script").count());
}

fn json(value: &impl serde::Serialize) {
    let text = serde_json::to_string(value).expect("a view is JSON");
    serde_json::from_str::<Value>(&text).expect("JSON can be read");
}
