//! The metadata frames.

use tracker_core::capture::facts::Facts;
use tracker_core::capture::meta::Meta;

/// What was understood is understood again.
pub fn meta(bytes: &[u8]) {
    if let Some(meta) = Meta::decode(bytes) {
        let again = meta.encode();
        assert!(again.len() <= bytes.len());
        assert_eq!(Meta::decode(&again).as_ref(), Some(&meta));
        Facts::default().add(meta);
    }
}
