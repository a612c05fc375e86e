//! The scanner accepts every text, its statements are ordered and do not overlap, and a statement on its own is not split
//! again. Parsing a migration accepts every file.
#![no_main]

use entrypoint::migrations::MigrationFile;
use entrypoint::migrations::scan::scan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let Ok(text) = std::str::from_utf8(content) else { return };
    let mut end = 0;
    for range in scan(text).statements {
        assert!(range.start >= end && range.start < range.end, "statements overlap or are out of order");
        let statement = &text[range.clone()];
        assert_eq!(scan(statement).statements.first(), Some(&(0..statement.len())), "a statement is split again");
        end = range.end;
    }
    assert!(end <= text.len());
    // An error is a valid result; only a panic is a failure.
    drop(MigrationFile::parse("001_fuzz.sql", content));
});
