use super::{EVERY_DTYPE, alone};
use mlx_rs::Dtype;
use mlx_wired::memory::PoolError;
use mlx_wired::memory::pool::decode;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

const BYTES: usize = 1 << 20;

#[test]
fn values_of_the_callers_are_written_into_mlxs_memory() {
    let _alone = alone();
    let source: Vec<u8> = (0..BYTES).map(|place| place as u8).collect();
    let mut calls = 0;
    let array = decode(&[1024, 1024], Dtype::Uint8, |slot| {
        calls += 1;
        assert_eq!(slot.remaining(), BYTES);
        io::copy(&mut &source[..], slot)?;
        Ok(())
    });
    let array = array.unwrap();
    assert_eq!(calls, 1);
    assert_eq!(array.shape(), [1024, 1024]);
    assert_eq!(array.as_slice::<u8>(), source);
}

#[test]
fn a_slice_may_be_written_too_and_starts_with_zeros() {
    let _alone = alone();
    let array = decode(&[4], Dtype::Float32, |slot| {
        slot.write_all(&1.0_f32.to_ne_bytes())?;
        let rest = slot.zeroed();
        assert_eq!(rest, [0; 12]);
        rest[8..].copy_from_slice(&4.0_f32.to_ne_bytes());
        assert_eq!(slot.remaining(), 0);
        assert_eq!(slot.write(&[1])?, 0, "nothing beyond the end");
        Ok(())
    });
    assert_eq!(array.unwrap().as_slice::<f32>(), [1.0, 0.0, 0.0, 4.0]);
}

#[test]
fn every_type_and_shape() {
    let _alone = alone();
    for dtype in EVERY_DTYPE {
        for shape in [&[][..], &[7], &[2, 3], &[1, 2, 1, 3], &[0], &[4, 0]] {
            let array = decode(shape, dtype, |slot| {
                slot.zeroed();
                Ok(())
            });
            let array = array.unwrap_or_else(|error| panic!("{shape:?} of {dtype:?}: {error}"));
            assert_eq!((array.shape(), array.dtype()), (shape, dtype));
        }
    }
}

#[test]
fn bools_are_made_of_whatever_bytes() {
    let _alone = alone();
    let array = decode(&[4], Dtype::Bool, |slot| {
        Ok(slot.write_all(&[0, 1, 2, 255])?)
    });
    let numbers = array.unwrap().view::<u8>().unwrap();
    assert_eq!(numbers.as_slice::<u8>(), [0, 1, 1, 1]);
}

/// Its header would be longer than the format allows for.
#[test]
fn a_shape_of_very_many_sides_is_an_error_or_right() {
    let _alone = alone();
    for sides in [100, 20_000, 30_000, 100_000] {
        let shape = vec![1; sides];
        let array = decode(&shape, Dtype::Uint8, |slot| Ok(slot.write_all(&[7])?));
        match array {
            Ok(array) => assert_eq!(array.shape(), shape, "{sides}"),
            Err(error) => assert!(matches!(error, PoolError::Mlx(_)), "{sides}: {error}"),
        }
    }
}

#[test]
fn a_decoder_that_fails_is_an_error_with_its_cause_and_no_array() {
    let _alone = alone();
    let error = decode(&[1024], Dtype::Float32, |_| Err("no such file".into())).unwrap_err();
    assert!(matches!(error, PoolError::Decode(_)));
    assert_eq!(
        error.to_string(),
        "the values were not decoded: no such file"
    );

    let error = decode(&[1024], Dtype::Float32, |slot| {
        slot.write_all(&[1; 4000])?;
        Ok(())
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "the values were not decoded: 96 bytes of the array were not written"
    );

    // What follows works.
    let array = decode(&[2], Dtype::Float32, |slot| {
        slot.zeroed();
        Ok(())
    });
    assert_eq!(array.unwrap().as_slice::<f32>(), [0.0, 0.0]);
}

#[test]
fn a_decoders_panic_is_the_callers() {
    let _alone = alone();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        decode(&[4], Dtype::Float32, |_| panic!("on purpose"))
    }));
    let payload = panicked.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
}

#[test]
fn a_shape_that_is_none_is_refused() {
    let _alone = alone();
    for shape in [&[-1][..], &[i32::MAX; 4]] {
        let refused = decode(shape, Dtype::Float32, |_| unreachable!("there is no array"));
        assert!(matches!(
            refused,
            Err(PoolError::Shape { needed: None, .. })
        ));
    }
}
