//! The links of a router, by id.

use crate::link::Link;
use crate::request::LinkId;

/// A map from ids, in whose order it is walked. Ids ascend, so a new link's place is the end. For the thousands that there
/// can be, a list is as fast as a tree, and it is less code for pages to download.
#[derive(Default)]
#[allow(clippy::vec_box)] // a link is large, and would be moved when one before it goes
pub(crate) struct Links(Vec<Box<Link>>);

impl Links {
    pub(crate) fn get(&self, id: &LinkId) -> Option<&Link> {
        self.find(*id).ok().map(|at| &*self.0[at])
    }

    pub(crate) fn get_mut(&mut self, id: &LinkId) -> Option<&mut Link> {
        self.find(*id).ok().map(|at| &mut *self.0[at])
    }

    pub(crate) fn get_or_insert_with(&mut self, id: LinkId, make: impl FnOnce() -> Link) -> &mut Link {
        let at = match self.find(id) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, Box::new(make()));
                at
            }
        };
        &mut self.0[at]
    }

    pub(crate) fn remove(&mut self, id: &LinkId) -> Option<Box<Link>> {
        self.find(*id).ok().map(|at| self.0.remove(at))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Link> {
        self.0.iter().map(|link| &**link)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.0.iter_mut().map(|link| &mut **link)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where a link is, or belongs.
    fn find(&self, id: LinkId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |link| link.id)
    }
}
