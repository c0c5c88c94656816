//! trainwire-protocol
