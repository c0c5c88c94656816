//! Orchestrators that are killed and started again, with real trainers that go on meanwhile.

mod by_hand;
mod folder;
mod kills;
mod many;
mod orphans;
mod payloads;
mod ranks;
mod reunions;
mod slots;
mod starts;

use folder::Folder;
