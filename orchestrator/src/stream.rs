//! One listener's way through a job's events: first from the journal, then live, and back to the
//! journal whenever it falls behind.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast::error::RecvError;

use crate::api::Inner;
use crate::clock;
use crate::events::{Event, Feed, Subscription, What};
use crate::journal::Reader;
use crate::record::{Record, Seq};

/// The events of one job, in order. See [`JobHandle::events`](crate::JobHandle::events).
#[derive(Debug)]
pub struct EventStream {
    feed: Arc<Feed>,
    /// Keeps the orchestrator running.
    inner: Arc<Inner>,
    subscription: Subscription,
    /// The last record that was given out, or that was not asked for.
    seen: Seq,
    /// Read from the journal, not given out yet. All after `seen`.
    backlog: VecDeque<Event>,
    over: bool,
}

impl EventStream {
    pub(crate) fn since(feed: Arc<Feed>, inner: Arc<Inner>, since: Seq) -> Self {
        let subscription = feed.subscribe();
        Self { feed, inner, subscription, seen: since, backlog: VecDeque::new(), over: false }
    }

    pub(crate) fn from_now(feed: Arc<Feed>, inner: Arc<Inner>) -> Self {
        let mut stream = Self::since(feed, inner, Seq::START);
        stream.seen = stream.subscription.published;
        stream
    }

    /// The next event; `None` after [`Record::JobEnded`], or when the orchestrator ended before the
    /// job did ([`JobHandle::outcome`](crate::JobHandle::outcome) says why). When the job's last event is given,
    /// all rows of metrics are in their files.
    ///
    /// Cancel safe: an event is given out or stays.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.over {
            if let Some(event) = self.backlog.front() {
                // Peeked at: whoever cancels this wait finds it here again.
                if is_job_end(event) {
                    self.feed.settled(event.seq).await;
                }
                let event = self.backlog.pop_front()?;
                return Some(self.give(event));
            }
            if self.seen < self.subscription.published {
                let until = self.subscription.published;
                if let Some(lagged) = self.read_backlog(until).await {
                    return Some(lagged);
                }
                continue;
            }
            match self.subscription.ring.recv().await {
                Ok(event) => {
                    let event = Arc::unwrap_or_clone(event);
                    match event.what {
                        What::Progress(_) => self.subscription.progress_total += 1,
                        _ if event.seq <= self.seen => continue,
                        _ if is_job_end(&event) => {
                            self.backlog.push_back(event);
                            continue;
                        }
                        _ => {}
                    }
                    return Some(self.give(event));
                }
                Err(RecvError::Lagged(_)) => {
                    let before = std::mem::replace(&mut self.subscription, self.feed.subscribe());
                    let progress_dropped = self.subscription.progress_total - before.progress_total;
                    return Some(self.lagged(progress_dropped, false));
                }
                Err(RecvError::Closed) => self.over = true,
            }
        }
        None
    }

    fn give(&mut self, event: Event) -> Event {
        self.seen = self.seen.max(event.seq);
        // A job whose tasks were tried again has ended more than once.
        self.over = is_job_end(&event) && self.feed.is_last(event.seq);
        event
    }

    /// Reads records up to `until`, the last one that does not come live. With nothing left to read,
    /// the stream has arrived there.
    async fn read_backlog(&mut self, until: Seq) -> Option<Event> {
        let mut records_lost = false;
        let events = match self.inner.reader() {
            None => {
                let (events, forgotten) = self.feed.kept_since(self.seen, PAGE_RECORDS as usize);
                records_lost = forgotten;
                events
            }
            Some(reader) => {
                let (job, seen) = (self.feed.job, self.seen);
                let read = tokio::task::spawn_blocking(move || read(&reader, job, seen)).await;
                match read {
                    Ok(Ok(entries)) => self.feed.events_of(entries),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the journal cannot be read; an event stream ends");
                        self.over = true;
                        return None;
                    }
                    Err(_) => {
                        self.over = true;
                        return None;
                    }
                }
            }
        };
        self.backlog.extend(events.into_iter().filter(|event| event.seq <= until));
        if self.backlog.is_empty() {
            self.seen = until;
        }
        if records_lost {
            // What comes next is the oldest that is left.
            self.seen = self.backlog.front().map_or(until, |event| Seq(event.seq.0 - 1)).max(self.seen);
            return Some(self.lagged(0, true));
        }
        None
    }

    fn lagged(&self, progress_dropped: u64, records_lost: bool) -> Event {
        Event {
            seq: self.seen,
            at: clock::now().wall,
            job: self.feed.job_id.clone(),
            task: None,
            attempt: None,
            what: What::Lagged { progress_dropped, records_lost },
        }
    }
}

fn is_job_end(event: &Event) -> bool {
    matches!(event.what, What::Record(Record::JobEnded { .. }))
}

type Page = rusqlite::Result<Vec<crate::journal::Entry>>;

fn read(reader: &Mutex<Reader>, job: crate::record::JobNo, seen: Seq) -> Page {
    reader.lock().unwrap_or_else(PoisonError::into_inner).records_of(job, seen, PAGE_RECORDS)
}

/// Records read at once.
const PAGE_RECORDS: u32 = 512;

#[cfg(test)]
mod tests;
