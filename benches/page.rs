//! A file of the documentation that a bench writes whole, or the part of it between two markers.

// Each bench that writes pages compiles it again and needs a part of it.
#![allow(dead_code)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file, and the text that it has to have.
pub struct Page {
    path: PathBuf,
    /// From the root of the source.
    name: String,
    text: String,
}

impl Page {
    pub fn new(root: &Path, name: impl Into<String>, text: String) -> Self {
        let name = name.into();
        Page {
            path: root.join(&name),
            name,
            text,
        }
    }

    /// The file with `part` between the two markers.
    pub fn between(
        root: &Path,
        name: &str,
        [begin, end]: [&str; 2],
        part: &str,
    ) -> io::Result<Self> {
        let text = fs::read_to_string(root.join(name))?;
        let parts = text.split_once(begin).and_then(|(before, rest)| {
            let (_, after) = rest.split_once(end)?;
            Some(format!("{before}{begin}{part}{end}{after}"))
        });
        let lacks = || io::Error::other(format!("{name} lacks the markers of this bench"));
        Ok(Page::new(root, name, parts.ok_or_else(lacks)?))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the file if its text is another one.
    pub fn write(&self) -> io::Result<()> {
        if fs::read_to_string(&self.path).is_ok_and(|found| found == self.text) {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&self.path, &self.text)?;
        println!("written: {}", self.name);
        Ok(())
    }

    /// Whether the file has the text that it has to have. Prints the first line that differs.
    pub fn check(&self) -> bool {
        let found = fs::read_to_string(&self.path).unwrap_or_default();
        if found == self.text {
            return true;
        }
        let (mut found, mut wanted) = (found.lines(), self.text.lines());
        let mut line = 1;
        loop {
            match (found.next(), wanted.next()) {
                (Some(found), Some(wanted)) if found == wanted => line += 1,
                (found, wanted) => {
                    let or_end = |line: Option<&str>| line.unwrap_or("the end").to_owned();
                    let (found, wanted) = (or_end(found), or_end(wanted));
                    println!("{}:{line} is not what the bench says:", self.name);
                    println!("  there: {found}\n  bench: {wanted}");
                    return false;
                }
            }
        }
    }
}
