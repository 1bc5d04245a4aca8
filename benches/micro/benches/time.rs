//! How long each piece takes.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use micro::Piece;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("packet path");
    for name in micro::PIECES {
        let mut piece = micro::piece(name);
        group.throughput(Throughput::Elements(piece.packets() as u64));
        group.bench_function(name, |b| b.iter_custom(|runs| (0..runs).map(|_| one(piece.as_mut())).sum()));
    }
    group.finish();
    criterion.final_summary();
}

#[allow(clippy::disallowed_methods, reason = "it is what a benchmark is for")]
fn one(piece: &mut dyn Piece) -> Duration {
    piece.prepare();
    let began = Instant::now();
    piece.run();
    began.elapsed()
}
