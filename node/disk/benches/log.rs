//! Batches made durable per second, one at a time and many at once.

use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shoal_api::{Index, Term};
use shoal_disk::{Event, LogWriter, System};
use shoal_quorum::{Batch, EntryKind, LogEntry, Ticket};

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    for flying in [1_u64, 8, 64] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (tell, told) = channel();
        let (writer, _) = LogWriter::open(folder.path(), Arc::new(System), move |event| {
            let _gone = tell.send(event);
        })
        .expect("the log opens");
        let mut index = 0;
        group.throughput(Throughput::Elements(flying));
        group.bench_function(BenchmarkId::new("batches_in_flight", flying), |bencher| {
            bencher.iter(|| {
                for _ in 0..flying {
                    index += 1;
                    let entry = LogEntry {
                        index: Index(index),
                        term: Term(1),
                        kind: EntryKind::Data,
                        data: Bytes::from_static(&[7; 200]),
                    };
                    let batch = Batch {
                        entries: vec![entry],
                        ..Batch::default()
                    };
                    writer.persist(Ticket(index), batch);
                }
                while told.recv().expect("the thread lives") != Event::Persisted(Ticket(index)) {}
            });
        });
    }
    group.finish();
}

criterion_group!(benches, log);
criterion_main!(benches);
