//! Views that were alive at a fork may be looked at by the child for ever. Alone in its process, because
//! the fork counts for all of it.

use std::os::fd::AsFd;

use trainwire_unix::slab::{Leases, forking};
use trainwire_unix::{ReceivedSlab, Slab};

#[test]
fn a_view_that_was_alive_at_a_fork_is_never_over() {
    let slab = Slab::allocate(4096).unwrap();
    let received = ReceivedSlab::receive(slab.as_fd().try_clone_to_owned().unwrap(), 4096).unwrap();
    let mut leases = Leases::default();
    let mut lend = |name| leases.lend(name, &received, 0, 4096).unwrap();
    let (gone, inherited) = (lend("gone before"), lend("alive"));
    drop(gone);
    forking();
    let between = lend("made between the two handlers");
    forking();
    let after = lend("made after");
    drop((inherited, between, after));
    let mut over = Vec::new();
    leases.collect(|name| over.push(name));
    assert_eq!(over, ["gone before", "made after"]);
}
