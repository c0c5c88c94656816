//! Faults of our own, planted to see that the tests catch them; `docs/faults.md` lists them. Without the
//! feature `planted-faults` there are none, and nothing of this is compiled in.

/// Whether this one is planted: `TRAINWIRE_PLANTED` names one of them.
#[cfg(feature = "planted-faults")]
pub fn is(name: &str) -> bool {
    static PLANTED: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("TRAINWIRE_PLANTED").ok());
    PLANTED.as_deref() == Some(name)
}

/// Never.
#[inline]
#[cfg(not(feature = "planted-faults"))]
pub const fn is(_name: &str) -> bool {
    false
}
