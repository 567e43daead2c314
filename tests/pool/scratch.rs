use super::{KIB, MIB, pool};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn temporary_buffers_go_back_also_after_a_panic() {
    let pool = pool(4 * MIB);
    let seen = pool.with_temporary_buffers(4, MIB, |buffers| {
        buffers.iter().map(|buffer| buffer.len()).sum::<usize>()
    });
    assert_eq!(seen.unwrap(), 4 * MIB);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.with_temporary_buffers(2, MIB, |_| panic!("on purpose"))
    }));
    assert!(panicked.is_err());
    assert_eq!((pool.stats().in_use, pool.stats().idle), (0, 4 << 20));
}

#[test]
fn temporary_buffers_that_do_not_all_fit_are_none() {
    let pool = pool(4 * MIB);
    let refused = pool.with_temporary_buffers(5, MIB, |_| unreachable!("they do not fit"));
    assert!(refused.is_err());
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn a_workspace_keeps_its_buffer_and_grows() {
    let pool = pool(4 * MIB);
    let mut scratch = pool.workspace();
    assert_eq!(pool.stats().in_use, 0);
    for len in [100, 16 * KIB, 3 * KIB, 0] {
        assert_eq!(scratch.bytes(len).unwrap().len(), len);
    }
    assert_eq!(pool.stats().misses, 1, "all fit one block");
    // The whole limit: the old buffer goes back first.
    scratch.bytes(4 * MIB).unwrap()[0] = 1;
    assert!(scratch.bytes(5 * MIB).is_err());
    assert_eq!(pool.stats().in_use, 0, "after an error it has none");
    scratch.bytes(1).unwrap();
    scratch.clear();
    assert_eq!(pool.stats().in_use, 0);
}

#[test]
fn parts_of_a_workspace_do_not_overlap() {
    let pool = pool(4 * MIB);
    let mut scratch = pool.workspace();
    let [first, none, last] = scratch.parts([100, 0, 65]).unwrap();
    first.fill(1);
    last.fill(2);
    assert!(first.iter().all(|byte| *byte == 1));
    assert_eq!((first.len(), none.len(), last.len()), (100, 0, 65));
    assert_eq!(first.as_ptr().align_offset(64), 0);
    assert_eq!(last.as_ptr().align_offset(64), 0);
    assert!(scratch.parts([usize::MAX, 2]).is_err());
}
