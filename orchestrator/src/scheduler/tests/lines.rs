//! Records and effects, a line each.

use super::*;

impl World {
    pub(super) fn record_line(&self, record: &Record) -> String {
        match record {
            Record::JobSubmitted { spec, .. } => format!("submitted {}", spec.job_id),
            Record::TaskSubmitted { task_id, .. } => format!("submitted {task_id}"),
            Record::JobClosed { .. } => "job closed".into(),
            Record::TrainerSpawning { trainer, slots, .. } if slots.is_empty() => {
                format!("spawning T{}", trainer.0)
            }
            Record::TrainerSpawning { trainer, slots, .. } => {
                format!("spawning T{} with {}", trainer.0, slots.join(","))
            }
            Record::SlotsFreed { trainer } => format!("slots of T{} freed", trainer.0),
            Record::TrainerSpawned { trainer, .. } => format!("spawned T{}", trainer.0),
            Record::TrainerBound { trainer, attached: false, .. } => format!("bound T{}", trainer.0),
            Record::TrainerBound { trainer, .. } => format!("attached T{}", trainer.0),
            Record::TrainerNoticed { trainer, condition } => format!("T{} {condition:?}", trainer.0),
            Record::TrainerEnded { trainer, exit, start_failed: false } => {
                format!("T{} ended: {exit}", trainer.0)
            }
            Record::TrainerEnded { trainer, exit, .. } => format!("T{} start failed: {exit}", trainer.0),
            Record::Delivered { delivery, task, trainer, attempt, .. } => {
                format!("delivered D{delivery}: {} to T{}, attempt {attempt}", self.task_id(*task), trainer.0)
            }
            Record::Started { delivery } => format!("started D{delivery}"),
            Record::Checkpointed { delivery, seq, .. } => format!("checkpoint D{delivery}/{seq}"),
            Record::Stopping { delivery, reason, rung } => {
                format!("stopping D{delivery}: {reason:?}, {rung:?}")
            }
            Record::Stuck { delivery } => format!("stuck D{delivery}"),
            Record::Ended { delivery, ending, next, .. } => {
                format!("D{delivery} {} -> {}", ending_line(ending), next_line(next))
            }
            Record::Closed { task, next } => format!("{} closed -> {}", self.task_id(*task), next_line(next)),
            Record::Superseded { delivery, seq } => format!("superseded D{delivery}/{seq}"),
            Record::Requeued { task } => format!("{} requeued", self.task_id(*task)),
            Record::LimitsChanged { .. } => "limits changed".into(),
            Record::JobEnded { .. } => "job ended".into(),
            Record::JobForgotten { job, .. } => format!("job {} forgotten", job.0),
        }
    }
}

fn ending_line(ending: &Ending) -> String {
    match ending {
        Ending::Succeeded { .. } => "succeeded".into(),
        Ending::Failed { error, .. } => format!("failed ({error})"),
        Ending::Retry { error, .. } => format!("retry ({error})"),
        Ending::Crashed { exit } => format!("crashed ({exit})"),
        Ending::Lost => "lost".into(),
        Ending::Stalled => "stalled".into(),
        Ending::Stopped { reason, rung, .. } => format!("stopped ({reason:?}, {rung:?})"),
        Ending::Returned { code } => format!("returned ({code})"),
    }
}

fn next_line(next: &Next) -> String {
    match next {
        Next::Queued { after: Duration::ZERO } => "queued".into(),
        Next::Queued { .. } => "queued, later".into(),
        Next::Dead { cause, .. } => format!("dead: {cause}"),
        next => format!("{next:?}").to_lowercase(),
    }
}

pub(super) fn effect_line(effect: &Effect) -> String {
    match effect {
        Effect::Answer { answer: Answer::Rejected { code, .. }, .. } => format!("> rejected {code}"),
        Effect::Answer { answer: Answer::Submitted { existing: true, .. }, .. } => "> existing".into(),
        Effect::Answer { answer: Answer::Added { added, existing }, .. } => {
            format!("> added {added}, existing {existing}")
        }
        Effect::Answer { .. } => "> answer".into(),
        Effect::Bind { .. } => "> bind".into(),
        Effect::Unbind { .. } => "> unbind".into(),
        Effect::Spawn { trainer, script_task: None, .. } => format!("> spawn T{}", trainer.0),
        Effect::Spawn { trainer, script_task: Some((task, attempt)), .. } => {
            format!("> spawn T{} for task {}, attempt {attempt}", trainer.0, task.0)
        }
        Effect::Welcome { connection, welcome } => {
            let word = |keep: bool| if keep { "keep" } else { "drop" };
            let list: Vec<String> =
                welcome.in_hand.iter().map(|(held, keep)| format!(" {} D{held}", word(*keep))).collect();
            format!("> C{} welcome{}", connection.0, list.join(","))
        }
        Effect::Refuse { connection, refused } => format!("> C{} refuse {}", connection.0, refused.code),
        Effect::Deliver { connection, deliver, .. } => {
            let from = deliver.last_checkpoint.as_ref().map(|at| format!(" from {}", at.path));
            let trace = deliver.traceparent.as_ref().map(|trace| format!(" in {trace}"));
            let said = from.unwrap_or_default() + &trace.unwrap_or_default();
            format!("> C{} deliver D{}{said}", connection.0, deliver.delivery)
        }
        Effect::Ack { connection, entry } => {
            format!("> C{} ack D{}/{} {:?}", connection.0, entry.delivery, entry.seq, entry.kind)
        }
        Effect::Unspool { delivery, .. } => format!("> unspool D{delivery}"),
        Effect::Stop { connection, stop } => {
            let left = match stop.time_left {
                Duration::MAX => String::new(),
                left => format!(", {left:?} left"),
            };
            let stacks = if stop.dump_stacks { ", stacks" } else { "" };
            format!("> C{} stop D{}: {}{left}{stacks}", connection.0, stop.delivery, stop.reason)
        }
        Effect::Bye { connection, bye } => format!("> C{} bye {}", connection.0, bye.code),
        Effect::Close { connection } => format!("> C{} close", connection.0),
        Effect::Drain { connection } => format!("> C{} drain", connection.0),
        Effect::Signal { trainer, signal } => format!("> T{} {signal:?}", trainer.0),
        Effect::Forget { trainer } => format!("> T{} forget", trainer.0),
    }
}
