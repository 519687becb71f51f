//! The allocator's size classes, so that accounted bytes agree with what it really holds.

/// Bytes the allocator sets aside for a request of `len` bytes (jemalloc's classes: multiples of 16 up to 128,
/// then four classes to each doubling).
pub const fn size_class(len: usize) -> usize {
    match len {
        0 => 0,
        1..=8 => 8,
        9..=128 => len.next_multiple_of(16),
        _ => {
            let step = ((len - 1).ilog2() - 2) as usize;
            len.next_multiple_of(1 << step)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_jemallocs() {
        for (len, class) in
            [(1, 8), (8, 8), (9, 16), (48, 48), (49, 64), (128, 128), (129, 160), (161, 192), (257, 320)]
        {
            assert_eq!(size_class(len), class, "{len}");
        }
        assert_eq!(size_class(4097), 5120);
        assert_eq!(size_class(16384), 16384);
        assert_eq!(size_class(16385), 20480);
    }
}
