//! The one place that asks the kernel for entropy: once per start, for the seed of everything.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// 128 bits from the kernel.
///
/// # Errors
/// The kernel has none, which a running system always has.
pub fn draw() -> io::Result<u128> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty())?;
    }
    Ok(u128::from_le_bytes(bytes))
}

/// 128 bits for an id that no machine mints; the kernel of a running system always has them.
pub fn bits() -> u128 {
    draw().expect("the kernel has entropy once the system runs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(draw().unwrap(), draw().unwrap());
    }
}
