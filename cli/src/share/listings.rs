//! Listings on their way to one visitor: a folder is read once, and told in parts.

use super::folder::{Folder, Found};
use crosspeer::transfer::catalog::{Entry, MAX_ENTRIES};
use std::collections::VecDeque;
use std::io;

/// Listings that one visitor may have begun and not ended before the oldest is read anew.
const MAX_BEGUN: usize = 8;
/// Names of a folder that are kept between two parts; a larger one is read for every part.
const MAX_KEPT: usize = 100_000;

/// One visitor's.
#[derive(Debug, Default)]
pub(super) struct Listings(VecDeque<Begun>);

#[derive(Debug)]
struct Begun {
    path: String,
    all: bool,
    /// The last name that was told.
    after: String,
    names: Vec<Found>,
    /// Where the next part begins.
    next: usize,
}

impl Listings {
    /// The entries behind `after`, and whether more follow them.
    pub(super) fn part(
        &mut self,
        folder: &Folder,
        path: &str,
        after: Option<&str>,
        all: bool,
    ) -> io::Result<(Vec<Entry>, bool)> {
        let mut begun = match after.and_then(|after| self.take(path, after, all)) {
            Some(begun) => begun,
            None => Begun::read(folder, path, after, all)?,
        };
        let end = begun.names.len().min(begun.next + MAX_ENTRIES);
        let entries = folder.describe_all(path, &begun.names[begun.next..end])?;
        let more = end < begun.names.len();
        // The visitor asks for what follows the last one that it got.
        match (entries.last(), more) {
            (Some(last), true) => {
                begun.after = last.name.clone();
                begun.next = end;
                self.keep(begun);
                Ok((entries, true))
            }
            // Every one of this part has gone meanwhile.
            (None, true) => self.part(folder, path, Some(&begun.names[end - 1].name), all),
            (_, false) => Ok((entries, false)),
        }
    }

    fn take(&mut self, path: &str, after: &str, all: bool) -> Option<Begun> {
        let fits = |begun: &Begun| begun.path == path && begun.after == after && begun.all == all;
        self.0.iter().position(fits).and_then(|at| self.0.remove(at))
    }

    fn keep(&mut self, begun: Begun) {
        if begun.names.len() > MAX_KEPT {
            return;
        }
        if self.0.len() == MAX_BEGUN {
            self.0.pop_front();
        }
        self.0.push_back(begun);
    }
}

impl Begun {
    fn read(folder: &Folder, path: &str, after: Option<&str>, all: bool) -> io::Result<Self> {
        let names = folder.list(path, all)?;
        Ok(Self {
            path: path.to_owned(),
            all,
            after: String::new(),
            next: after.map_or(0, |after| names.partition_point(|found| found.name.as_str() <= after)),
            names,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_large_folder_is_told_in_parts_without_gaps_whatever_goes_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let name = |number: usize| format!("{number:05}");
        for number in 0..2 * MAX_ENTRIES + 3 {
            fs::write(dir.path().join(name(number)), "").unwrap();
        }
        let folder = Folder::open(dir.path(), false, false).unwrap();
        let mut listings = Listings::default();
        let (first, more) = listings.part(&folder, "", None, false).unwrap();
        assert!(more && first.len() == MAX_ENTRIES);
        for number in MAX_ENTRIES..2 * MAX_ENTRIES {
            fs::remove_file(dir.path().join(name(number))).unwrap();
        }
        let last = &first[MAX_ENTRIES - 1].name;
        let (rest, more) = listings.part(&folder, "", Some(last), false).unwrap();
        assert_eq!((rest.len(), more), (3, false));
        let (again, more) = listings.part(&folder, "", Some(last), false).unwrap();
        assert_eq!((again, more), (rest, false), "asked twice");
    }

    #[test]
    fn a_visitor_that_begins_many_listings_keeps_few() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..=MAX_ENTRIES {
            fs::write(dir.path().join(number.to_string()), "").unwrap();
        }
        let folder = Folder::open(dir.path(), false, false).unwrap();
        let mut listings = Listings::default();
        for _ in 0..3 * MAX_BEGUN {
            assert!(listings.part(&folder, "", None, false).unwrap().1);
        }
        assert_eq!(listings.0.len(), MAX_BEGUN);
    }
}
