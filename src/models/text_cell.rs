//! A text that is replaced while it is read: [`text_cell`](crate::structures::text_cell).

use loom::sync::Arc;
use loom::thread;

use crate::structures::text_cell::TextCell;

/// Its tag, and a text that says the same.
fn written(tag: u64) -> (u64, String) {
    (tag, tag.to_string().repeat(8))
}

fn write(cell: &TextCell, tag: u64) {
    cell.try_write(tag, &written(tag).1);
}

/// Mutations: `a-text-written-without-a-fence`, `a-text-read-without-a-fence`,
/// `a-text-published-relaxed`.
#[test]
fn a_reader_gets_a_whole_text_with_its_tag() {
    loom::model(|| {
        let cell = Arc::new(TextCell::new());
        write(&cell, 1);
        let writer = thread::spawn({
            let cell = cell.clone();
            move || write(&cell, 2)
        });
        if let Some(read) = cell.read() {
            assert_eq!(read, written(read.0));
        }
        writer.join().unwrap();
        assert_eq!(cell.read(), Some(written(2)), "the last one is there");
    });
}

/// Mutations: `two-writers-of-one-text`, `a-text-claimed-relaxed`.
#[test]
fn of_two_writers_one_text_stays() {
    loom::model(|| {
        let cell = Arc::new(TextCell::new());
        let writer = thread::spawn({
            let cell = cell.clone();
            move || write(&cell, 1)
        });
        write(&cell, 2);
        if let Some(read) = cell.read() {
            assert_eq!(read, written(read.0));
        }
        writer.join().unwrap();
        let read = cell.read().expect("one of them is there");
        assert_eq!(read, written(read.0));
    });
}
