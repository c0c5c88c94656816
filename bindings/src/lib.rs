//! trainwire-python
