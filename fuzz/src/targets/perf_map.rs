//! Names of code made at run time.

use tracker_core::symbol::PerfMap;

/// Any bytes are a map, and its names are short.
pub fn perf_map(bytes: &[u8]) {
    let map = PerfMap::parse(bytes);
    for address in (0..64).map(|shift| 1u64 << shift).chain((0x7f00_0000..0x7f00_1000).step_by(16)) {
        assert!(map.lookup(address).is_none_or(|name| name.len() < 5000));
    }
}
