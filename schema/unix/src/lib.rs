//! trainwire-unix
