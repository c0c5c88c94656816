use std::time::Duration;

use tokio::sync::{mpsc, watch};
use trainwire_protocol::id::{Delivery, JobId};
use trainwire_protocol::message::Report;

use super::*;
use crate::budget::Budget;
use crate::config::Config;
use crate::journal::{Batch, Commit, Entry, Journal, Writer};
use crate::layout::Layout;
use crate::record::JobNo;
use crate::room::Room;

/// Records of the job, in batches; the journal holds those of another job between them.
const RECORDS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_record_is_missed_or_doubled_wherever_a_stream_begins() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    let reader = Reader::open(journal.path()).unwrap();
    let (sender, mut committed) = mpsc::unbounded_channel();
    let writer = Writer::start(journal, sender).unwrap();
    let inner = inner(Some(reader));
    let feed = Arc::new(Feed::new(JobNo(1), JobId::new("a").unwrap(), None));

    let mut listeners = Vec::new();
    for number in 0..6 {
        let stream = EventStream::since(Arc::clone(&feed), Arc::clone(&inner), Seq(number * 7));
        listeners.push(tokio::spawn(listen(stream, number * 7, number)));
    }
    for first in (1..=RECORDS).step_by(100) {
        let entries = (first..first + 100).map(|seq| entry(seq, RECORDS)).collect();
        writer.commit(Batch { entries, payloads: Vec::new() });
        let Commit::Done(batch) = committed.recv().await.unwrap().unwrap() else { panic!("a full disk") };
        for entry in batch.entries {
            let at = entry.at;
            if entry.job == Some(JobNo(1)) {
                feed.publish(entry);
            }
            feed.publish_progress(at, None, 1, Arc::new(report()));
        }
        if first % 1_000 == 1 {
            let stream = EventStream::from_now(Arc::clone(&feed), Arc::clone(&inner));
            let seen = stream.seen.0;
            listeners.push(tokio::spawn(listen(stream, seen, first % 3)));
        }
    }
    feed.end(Ok(()));
    let late = EventStream::since(Arc::clone(&feed), Arc::clone(&inner), Seq::START);
    listeners.push(tokio::spawn(listen(late, 0, 0)));
    let mut lagged = 0;
    for listener in listeners {
        lagged += listener.await.unwrap();
    }
    assert!(lagged > 0, "somebody was slow enough to fall behind");
}

/// Reads to the end, the slower the higher `slowness`; gives how often it fell behind.
async fn listen(mut stream: EventStream, since: u64, slowness: u64) -> u64 {
    let expected: Vec<u64> = (since + 1..=RECORDS).filter(|seq| seq % 3 != 0 || *seq == RECORDS).collect();
    let total_before = stream.subscription.progress_total;
    let (mut records, mut progress, mut dropped, mut lagged) = (Vec::new(), 0, 0, 0);
    while let Some(event) = stream.next().await {
        match event.what {
            What::Record(_) => records.push(event.seq.0),
            What::Progress(_) => progress += 1,
            What::Lagged { progress_dropped, records_lost } => {
                assert!(!records_lost, "the journal forgets nothing");
                dropped += progress_dropped;
                lagged += 1;
            }
        }
        if slowness > 0 && (records.len() as u64).is_multiple_of(2_000 / slowness) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    assert_eq!(records, expected);
    // The job's last progress comes after its last record, and is nobody's concern any more.
    assert!(total_before + progress + dropped <= RECORDS, "{total_before} + {progress} + {dropped}");
    lagged
}

#[tokio::test]
async fn a_journal_in_memory_says_when_it_has_forgotten() {
    let inner = inner(None);
    let feed = Arc::new(Feed::new(JobNo(1), JobId::new("a").unwrap(), Some(10)));
    for seq in 1..=25 {
        feed.publish(entry(seq, 25));
    }
    feed.end(Ok(()));
    let mut stream = EventStream::since(Arc::clone(&feed), Arc::clone(&inner), Seq::START);
    let first = stream.next().await.unwrap();
    assert_eq!(first.what, What::Lagged { progress_dropped: 0, records_lost: true });
    let mut seqs = Vec::new();
    while let Some(event) = stream.next().await {
        seqs.push(event.seq.0);
    }
    assert_eq!(seqs, (16..=25).collect::<Vec<_>>());

    let mut stream = EventStream::since(feed, inner, Seq(20));
    assert_eq!(stream.next().await.unwrap().seq, Seq(21));
}

#[tokio::test]
async fn those_who_listen_are_told_when_the_orchestrator_ends() {
    let feed = Arc::new(Feed::new(JobNo(1), JobId::new("a").unwrap(), Some(10)));
    let mut stream = EventStream::from_now(Arc::clone(&feed), inner(None));
    feed.publish(entry(1, 9));
    feed.end(Err(crate::OrchestratorError::ShutDown));
    feed.end(Ok(()));
    assert_eq!(stream.next().await.unwrap().seq, Seq(1));
    assert_eq!(stream.next().await, None);
    assert_eq!(feed.ended().await, Err(crate::OrchestratorError::ShutDown));
}

#[tokio::test]
async fn a_jobs_end_is_told_when_its_rows_are_in_their_files() {
    let inner = inner(None);
    let feed = Arc::new(Feed::new(JobNo(1), JobId::new("a").unwrap(), Some(10)));
    let mut live = EventStream::since(Arc::clone(&feed), Arc::clone(&inner), Seq::START);
    feed.publish(entry(1, 2));
    feed.publish(entry(2, 2));
    let mut late = EventStream::since(Arc::clone(&feed), Arc::clone(&inner), Seq::START);
    for stream in [&mut live, &mut late] {
        assert_eq!(stream.next().await.unwrap().seq, Seq(1));
        // Whoever gives up waiting has lost nothing.
        for _ in 0..2 {
            tokio::select! { biased; event = stream.next() => panic!("{event:?}"), () = tokio::task::yield_now() => {} }
        }
    }
    feed.end(Ok(()));
    // It goes on before they look.
    feed.reopen();
    for stream in [&mut live, &mut late] {
        assert_eq!(stream.next().await.unwrap().seq, Seq(2));
    }
}

#[test]
fn a_token_is_in_no_event() {
    let feed = Feed::new(JobNo(1), JobId::new("a").unwrap(), Some(10));
    let token = "secret".to_owned();
    let record = Record::TrainerSpawning {
        trainer: crate::record::TrainerNo(1),
        job: JobNo(1),
        token,
        slots: Vec::new(),
    };
    feed.publish(Entry { record, ..entry(1, 9) });
    let (events, _) = feed.kept_since(Seq::START, 9);
    assert!(!format!("{events:?}").contains("secret"));
}

/// Every third record is another job's.
fn entry(seq: u64, last: u64) -> Entry {
    let job = JobNo(if seq.is_multiple_of(3) && seq != last && last == RECORDS { 2 } else { 1 });
    let record = if seq == last { Record::JobEnded { job } } else { Record::Started { delivery: seq } };
    Entry { seq: Seq(seq), at: clock::from_micros(0), job: Some(job), task: None, attempt: None, record }
}

fn report() -> Report {
    Report {
        delivery: Delivery(1),
        names: Arc::default(),
        times_us: Vec::new(),
        steps: None,
        epochs: None,
        values: Vec::new(),
        thinned: 0,
    }
}

fn inner(reader: Option<Reader>) -> Arc<Inner> {
    let config = Config::default();
    Arc::new(Inner {
        taken_up: Vec::new(),
        layout: Layout::new(&config, "/nowhere".into()),
        budget: Arc::new(Budget::new(&config).unwrap()),
        room: Arc::new(Room::new(&config, "/nowhere".as_ref())),
        messages: mpsc::channel(1).0,
        reader: reader.map(|reader| Arc::new(Mutex::new(reader))),
        shutdown: watch::Sender::new(false),
        stopped: watch::channel(None).1,
        config,
    })
}
