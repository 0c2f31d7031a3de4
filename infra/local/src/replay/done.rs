//! Which objects are finished: one line each in a file that is only added to.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use twox_hash::XxHash3_128;

/// The finished objects of one warehouse.
#[derive(Debug)]
pub(super) struct Done {
    file: File,
    known: HashSet<String>,
}

impl Done {
    /// Opens the file of that warehouse, which is made when it is not there.
    pub(super) fn open(folder: &Path, target: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join(format!("{:032x}.done", XxHash3_128::oneshot(target.as_bytes())));
        let open = || -> std::io::Result<(File, String)> {
            let file = File::options().create(true).append(true).open(&path)?;
            Ok((file, std::fs::read_to_string(&path)?))
        };
        let (file, text) = open().with_context(|| format!("{} cannot be opened", path.display()))?;
        // A line without its end was cut off while it was written; the object is replayed again, which changes nothing.
        let known = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let done = Self {
            known: known.map(str::to_owned).collect(),
            file,
        };
        if !text.is_empty() && !text.ends_with('\n') {
            (&done.file).write_all(b"\n")?;
        }
        Ok(done)
    }

    pub(super) fn holds(&self, identity: &str) -> bool {
        self.known.contains(identity)
    }

    /// Adds an object, durably.
    pub(super) fn add(&mut self, identity: &str) -> anyhow::Result<()> {
        self.file
            .write_all(format!("{identity}\n").as_bytes())
            .and_then(|()| self.file.sync_data())
            .context("what is finished cannot be remembered")?;
        self.known.insert(identity.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_finished_is_remembered_for_its_warehouse() {
        let folder = tempfile::tempdir().unwrap();
        let mut done = Done::open(folder.path(), "one").unwrap();
        done.add("a").unwrap();
        assert!(done.holds("a") && !done.holds("b"));
        assert!(Done::open(folder.path(), "one").unwrap().holds("a"));
        assert!(!Done::open(folder.path(), "two").unwrap().holds("a"));
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut done = Done::open(folder.path(), "one").unwrap();
        done.add("a").unwrap();
        done.file.write_all(b"b").unwrap();
        let mut done = Done::open(folder.path(), "one").unwrap();
        assert!(done.holds("a") && !done.holds("b"));
        done.add("b").unwrap();
        assert!(Done::open(folder.path(), "one").unwrap().holds("b"));
    }
}
