//! glibc gives back what is no longer needed. Other systems' allocators are left alone.

/// Bytes from which an allocation is a mapping of its own, which the system has back when it is freed.
const MAPPED: i32 = 128 << 10;
/// Heaps that threads share: what is free in one is of no use to another.
const HEAPS: i32 = 2;

/// glibc raises its threshold for mappings with each that is freed, up to 32 MiB, and makes eight heaps for each core: of a
/// stranger's messages three times as much stays as was ever in use.
#[expect(
    unsafe_code,
    reason = "there is no other way but the environment, which is read before `main`"
)]
pub(crate) fn set_up() {
    // SAFETY: it sets parameters, under the allocator's own lock, and refuses those it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}
