//! [`TemplateCache`]: the octets that templates were encoded to.

use super::HeaderList;
use crate::encode::HeadersFrame;
use std::sync::Arc;

/// Remembers what an encoder made of the templates it saw last. A template is recognised by its address,
/// which holding the `Arc` keeps from being used for another one.
#[derive(Default)]
pub(super) struct TemplateCache {
    /// The ones used most stand in front.
    entries: Vec<Cached>,
}

struct Cached {
    template: Arc<HeaderList>,
    /// The table's revision for which the octets hold.
    revision: u64,
    frame: HeadersFrame,
}

impl TemplateCache {
    /// How many templates are remembered: a connection sees a few methods often. Looking through them has to
    /// cost less than encoding.
    const MAX_TEMPLATES: usize = 16;

    /// The first few cost so little to look through that moving them would cost more.
    const IN_PLACE: usize = 4;

    /// Longer blocks aren't remembered: they hold literals, and memory for each connection is dear.
    const MAX_OCTETS: usize = 256;

    /// What the template was encoded to, if the table has been the same ever since.
    #[inline(always)]
    pub(super) fn get(&mut self, template: &Arc<HeaderList>, revision: u64) -> Option<&HeadersFrame> {
        let mut found = self.entries.iter().position(|entry| Arc::ptr_eq(&entry.template, template))?;
        if found >= Self::IN_PLACE {
            found = self.move_forward(found);
        }
        let entry = self.entries.get(found).filter(|entry| entry.revision == revision)?;
        Some(&entry.frame)
    }

    /// [`get`](Self::get) for a template that is one of the first few.
    #[inline(always)]
    pub(super) fn get_in_front(&self, template: &Arc<HeaderList>, revision: u64) -> Option<&HeadersFrame> {
        let mut front = self.entries.iter().take(Self::IN_PLACE);
        let entry = front.find(|entry| Arc::ptr_eq(&entry.template, template))?;
        (entry.revision == revision).then_some(&entry.frame)
    }

    /// One place forward each time it is used keeps those in front that are used most.
    #[cold]
    fn move_forward(&mut self, found: usize) -> usize {
        self.entries.swap(found - 1, found);
        found - 1
    }

    pub(super) fn put(&mut self, template: &Arc<HeaderList>, revision: u64, octets: &[u8]) {
        if octets.len() > Self::MAX_OCTETS {
            return;
        }
        if let Some(entry) = self.entries.iter_mut().find(|entry| Arc::ptr_eq(&entry.template, template)) {
            entry.revision = revision;
            entry.frame = HeadersFrame::new(octets);
            return;
        }
        self.entries.truncate(Self::MAX_TEMPLATES - 1);
        if self.entries.capacity() == 0 {
            // The heads and trailers of one method.
            self.entries.reserve_exact(2);
        }
        self.entries.push(Cached {
            template: Arc::clone(template),
            revision,
            frame: HeadersFrame::new(octets),
        });
    }
}
