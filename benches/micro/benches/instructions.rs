//! How many instructions each piece takes.

use gungraun::{library_benchmark, library_benchmark_group, main};
use micro::Piece;

/// A piece that has run before: what is made when first needed does not count.
fn warm(name: &str) -> Box<dyn Piece> {
    let mut piece = micro::piece(name);
    piece.prepare();
    piece.run();
    piece.prepare();
    piece
}

#[library_benchmark]
#[benches::all(iter = micro::PIECES, setup = warm)]
fn run(mut piece: Box<dyn Piece>) -> Box<dyn Piece> {
    piece.run();
    piece
}

library_benchmark_group!(name = pieces; benchmarks = run);
main!(library_benchmark_groups = pieces);
