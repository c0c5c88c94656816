//! trainwire
