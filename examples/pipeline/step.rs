//! A batch: how large it is, what is in it, and what a trainer computes of it.

use crate::Failure;
use mlx_wired::memory::PoolBuf;

const VALUE: usize = size_of::<f32>();

/// The bytes of a batch: from 2 to 6 MiB, in an order that repeats.
pub(crate) fn bytes(number: u64) -> usize {
    const MIB: usize = 1 << 20;
    [2, 4, 2, 2, 6, 2, 4, 2][number as usize % 8] * MIB
}

/// What a decoder would do.
pub(crate) fn fill(buffer: &mut [u8]) {
    let ones = 1.0_f32.to_ne_bytes();
    for value in buffer.chunks_exact_mut(VALUE) {
        value.copy_from_slice(&ones);
    }
}

/// Adds all values up, which must be one each.
#[cfg(any(target_vendor = "apple", with_mlx))]
pub(crate) fn train(batch: PoolBuf) -> Result<(), Failure> {
    let values = batch.len() / VALUE;
    let shape = [i32::try_from(values)?];
    // On Metal without a copy; elsewhere the buffer is back in the pool now.
    let array = batch.into_array(&shape, mlx_rs::Dtype::Float32)?;
    let sum = array.sum(None)?;
    sum.eval()?;
    check(sum.as_slice::<f32>()[0], values)
}

/// Adds all values up, which must be one each.
#[cfg(not(any(target_vendor = "apple", with_mlx)))]
pub(crate) fn train(batch: PoolBuf) -> Result<(), Failure> {
    let of = |bytes: &[u8]| f32::from_ne_bytes(bytes.try_into().expect("so many are asked for"));
    let sum: f32 = batch.chunks_exact(VALUE).map(of).sum();
    check(sum, batch.len() / VALUE)
}

fn check(sum: f32, values: usize) -> Result<(), Failure> {
    if sum == values as f32 {
        return Ok(());
    }
    Err(format!("a batch of {values} ones adds up to {sum}").into())
}
