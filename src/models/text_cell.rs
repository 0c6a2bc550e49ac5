//! A text that is replaced while it is read: [`text_cell`](crate::structures::text_cell).

use loom::sync::Arc;
use loom::thread;

use crate::structures::text_cell::TextCell;

type Cell = TextCell<2>;

/// The label and the text of a number.
fn written(label: u64) -> ([u64; 2], String) {
    ([label; 2], label.to_string().repeat(8))
}

fn write(cell: &Cell, number: u64) {
    if let Some(claim) = cell.claim() {
        let (label, text) = written(number);
        claim.write(label, &text);
    }
}

/// Replaces a text in one thread, and looks at the cell in another one. Neither is the model's main
/// thread, which loom explores incompletely. Each of the two is spawned first in one run.
fn explore(look: fn(&Cell)) {
    for is_swapped in [false, true] {
        loom::model(move || {
            let cell = Arc::new(Cell::new());
            write(&cell, 1);
            let spawn = |act: fn(&Cell)| {
                let cell = cell.clone();
                thread::spawn(move || act(&cell))
            };
            let writer: fn(&Cell) = |cell| write(cell, 2);
            let [one, two] = match is_swapped {
                false => [writer, look].map(spawn),
                true => [look, writer].map(spawn),
            };
            one.join().unwrap();
            two.join().unwrap();
            assert_eq!(cell.read(), Some(written(2)), "the last one is there");
            assert!(cell.has(&written(2).1));
        });
    }
}

/// Mutations: `a-text-written-without-a-fence`, `a-text-read-without-a-fence`,
/// `a-text-published-relaxed`.
#[test]
fn a_reader_gets_a_whole_text_with_its_label() {
    explore(|cell| {
        if let Some(read) = cell.read() {
            assert_eq!(read, written(read.0[0]));
        }
    });
}

/// Mutation: `a-text-recognised-without-a-fence`.
#[test]
fn a_text_that_never_was_is_not_recognised() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        write(&cell, 2);
        let spawn = |act: fn(&Cell)| {
            let cell = cell.clone();
            thread::spawn(move || act(&cell))
        };
        let writer = spawn(|cell| cell.claim().expect("one writer").write([0; 2], "1"));
        // The length of one text, the words of the other.
        let reader = spawn(|cell| assert!(!cell.has("1\0\0\0\0\0\0\0")));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Mutation: `two-writers-of-one-text`.
#[test]
fn of_two_writers_one_text_stays() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        let writer = thread::spawn({
            let cell = cell.clone();
            move || write(&cell, 1)
        });
        write(&cell, 2);
        if let Some(read) = cell.read() {
            assert_eq!(read, written(read.0[0]));
        }
        writer.join().unwrap();
        let read = cell.read().expect("one of them is there");
        assert_eq!(read, written(read.0[0]));
    });
}
