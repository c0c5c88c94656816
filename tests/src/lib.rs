//! trainwire-tests
