//! What goes wrong, and what people want ended.

use std::time::{Duration, UNIX_EPOCH};

use trainwire::record::TaskNo;
use trainwire::scheduler::Ticket;

use super::World;
use super::restart::Death;
use crate::chaos::Mischief;

impl World {
    pub(super) fn happen(&mut self, mischief: Mischief) {
        if let Some(log) = &mut self.log {
            log.push(format!("! {mischief:?}"));
        }
        let alive: Vec<i32> = self
            .processes
            .values()
            .filter(|process| process.dead.is_none())
            .map(|process| process.pid)
            .collect();
        let victim = self.random.pick(&alive);
        let (now, random) = (self.now, &mut self.random);
        match (mischief, victim.and_then(|pid| self.processes.get_mut(&pid))) {
            (Mischief::Cut, Some(process)) => {
                if let Some(wire) = process.wire.and_then(|wire| self.wires.get_mut(&wire)) {
                    wire.cut(now);
                }
            }
            (Mischief::Kill, Some(process)) => process.kill(now, random),
            (Mischief::Freeze, Some(process)) => process.freeze(now + random.ms(10, 90_000)),
            (Mischief::Leave, Some(process)) => process.leave(),
            (Mischief::Stop, _) if self.down_until.is_none() => self.stop_something(),
            (Mischief::Crash, _) if self.down_until.is_none() => self.die(Death::Process),
            (Mischief::PowerCut, _) if self.down_until.is_none() => self.die(Death::Machine),
            (Mischief::DiskFails, _) => self.disk.fails = true,
            (Mischief::Stop | Mischief::Crash | Mischief::PowerCut, _) => {}
            (Mischief::Slow, _) => self.disk.latency_ms = random.pick(&[0, 3, 200, 5_000]).unwrap_or(3),
            (Mischief::Full, _) => self.disk.full_until = Some(now + random.ms(1, 120_000)),
            (Mischief::Latency, _) => self.latency = random.ms(0, 300),
            (Mischief::Clock, _) => self.wall = UNIX_EPOCH + Duration::from_secs(random.below(2_000_000_000)),
            (_, None) => {}
        }
    }

    fn stop_something(&mut self) {
        let place = self.random.below(self.clients.len() as u64);
        let Some(client) = usize::try_from(place).ok().and_then(|place| self.clients.get_mut(place)) else {
            return;
        };
        let state = self.orchestrator.scheduler.state();
        let tasks: Vec<TaskNo> =
            client.job.and_then(|job| state.job(job)).map(|job| job.tasks.to_vec()).unwrap_or_default();
        let task = if self.random.chance(70) { self.random.pick(&tasks) } else { None };
        let ticket = Ticket(self.last_ticket + 1);
        if let Some(input) = client.stop(ticket, task, &mut self.random) {
            self.last_ticket += 1;
            self.decide(input);
        }
    }
}
