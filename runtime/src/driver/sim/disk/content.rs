//! The bytes of a simulated file: sparse, in pages that copies share until one of them is written to, so that an image of a
//! whole disk costs little.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

/// Bytes of a page, which is also the block that the file system gives out.
pub(crate) const PAGE_SIZE: usize = 4096;

type Page = [u8; PAGE_SIZE];

/// All pages of zeros are this one.
static ZEROS: LazyLock<Arc<Page>> = LazyLock::new(|| Arc::new([0; PAGE_SIZE]));

/// A file's length and its pages. A page that is not there reads as zeros and takes no room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

/// The part of one page that a range of a file covers.
struct Part {
    page: u64,
    within: Range<usize>,
    /// Where it begins in the range.
    at: usize,
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) {
        for part in parts(offset, bytes.len() as u64) {
            let page = self.pages.entry(part.page).or_insert_with(|| ZEROS.clone());
            Arc::make_mut(page)[part.within.clone()].copy_from_slice(&bytes[part.at..part.at + part.within.len()]);
        }
        self.grow(offset, bytes.len() as u64);
    }

    /// Writes zeros, which take room all the same.
    pub(crate) fn write_zeros(&mut self, offset: u64, size: u64) {
        for part in parts(offset, size) {
            let page = self.pages.entry(part.page).or_insert_with(|| ZEROS.clone());
            match part.within.len() {
                PAGE_SIZE => *page = ZEROS.clone(),
                _ => Arc::make_mut(page)[part.within].fill(0),
            }
        }
        self.grow(offset, size);
    }

    /// Takes room for the range, and grows to its end.
    pub(crate) fn allocate(&mut self, offset: u64, size: u64) {
        for part in parts(offset, size) {
            self.pages.entry(part.page).or_insert_with(|| ZEROS.clone());
        }
        self.grow(offset, size);
    }

    fn grow(&mut self, offset: u64, size: u64) {
        if size > 0 {
            self.len = self.len.max(offset.saturating_add(size));
        }
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE_SIZE as u64));
            let (page, within) = (len / PAGE_SIZE as u64, (len % PAGE_SIZE as u64) as usize);
            if let Some(page) = self.pages.get_mut(&page).filter(|_| within > 0) {
                Arc::make_mut(page)[within..].fill(0);
            }
        }
        self.len = len;
    }

    /// Bytes from `offset` on, as many as there are; how many that is.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(buffer.len() as u64);
        for part in parts(offset, count) {
            let into = &mut buffer[part.at..part.at + part.within.len()];
            match self.pages.get(&part.page) {
                Some(page) => into.copy_from_slice(&page[part.within]),
                None => into.fill(0),
            }
        }
        count as usize
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len as usize];
        self.read(0, &mut bytes);
        bytes
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the disk that it takes.
    pub(crate) fn allocated(&self) -> u64 {
        (self.pages.len() * PAGE_SIZE) as u64
    }

    /// How many bytes from `offset` on can be written, up to `size`, where the disk has so many bytes free.
    pub(crate) fn fitting(&self, offset: u64, size: u64, free: u64) -> u64 {
        let (mut blocks, mut fitting) = (free / PAGE_SIZE as u64, 0);
        for part in parts(offset, size) {
            let taken = u64::from(!self.pages.contains_key(&part.page));
            match blocks.checked_sub(taken) {
                Some(left) => (blocks, fitting) = (left, fitting + part.within.len() as u64),
                None => break,
            }
        }
        fitting
    }
}

fn parts(offset: u64, size: u64) -> impl Iterator<Item = Part> {
    let end = offset.saturating_add(size);
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (page, start) = (at / PAGE_SIZE as u64, (at % PAGE_SIZE as u64) as usize);
        let count = (PAGE_SIZE - start).min((end - at) as usize);
        let part = Part { page, within: start..start + count, at: (at - offset) as usize };
        at += count as u64;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::sim::disk::dice::Dice;

    #[test]
    fn does_what_a_plain_vector_does() {
        let mut dice = Dice::new(1);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for step in 0..2_000u32 {
            let (offset, size) = (dice.below(20_000), dice.below(6_000) as usize);
            let end = offset as usize + size;
            let grown = |model: &mut Vec<u8>| model.resize(model.len().max(if size > 0 { end } else { 0 }), 0);
            match dice.below(5) {
                0 => {
                    content.set_len(offset);
                    model.resize(offset as usize, 0);
                }
                1 => {
                    content.write_zeros(offset, size as u64);
                    grown(&mut model);
                    model.get_mut(offset as usize..end).into_iter().for_each(|part| part.fill(0));
                }
                2 => {
                    content.allocate(offset, size as u64);
                    grown(&mut model);
                }
                _ => {
                    let bytes = vec![step as u8 | 1; size];
                    content.write(offset, &bytes);
                    grown(&mut model);
                    model.get_mut(offset as usize..end).into_iter().for_each(|part| part.copy_from_slice(&bytes));
                }
            }
            assert!(content.bytes() == model, "step {step}");
        }
    }

    #[test]
    fn a_copy_keeps_what_it_had_and_holes_take_no_room() {
        let mut content = Content::of(b"before");
        let copy = content.clone();
        content.write(0, b"after!");
        assert_eq!(copy.bytes(), b"before");
        content.set_len(1 << 40);
        assert_eq!(content.allocated(), 4096);
        let check = |offset, size, free, expected| assert_eq!(content.fitting(offset, size, free), expected);
        check(1 << 30, 4097, 8192, 4097);
        check(1 << 30, 4097, 8191, 4096);
        check(0, u64::MAX, 4096, 8192);
        check(0, 4096, 0, 4096);
        check(4096, 1, 0, 0);
        let mut far = [1; 3];
        assert_eq!(content.read((1 << 40) - 2, &mut far), 2);
        assert_eq!(far, [0, 0, 1]);
    }
}
