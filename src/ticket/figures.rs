//! What a ticket tells of its group, without the lock.

use super::Ticket;

impl Ticket {
    /// What the live guards of its group hold, in bytes. One atomic load: it may be otherwise when the answer is read.
    ///
    /// ```
    /// use mlx_wired::{Manager, SumPolicy};
    ///
    /// let manager = Manager::builder().backend(mlx_wired::ffi::NoMlx::new()).build()?;
    /// let step = manager.ticket(&SumPolicy::capped(100), 60);
    /// let _guard = step.acquire()?;
    /// assert_eq!((step.in_use(), step.available(), step.waiters()), (60, Some(40), 0));
    /// # Ok::<(), mlx_wired::Error>(())
    /// ```
    #[must_use]
    pub fn in_use(&self) -> u64 {
        self.group().in_use()
    }

    /// What its policy leaves of its group, in bytes; under a [budget](crate::Config::budget) over all groups at most what
    /// that leaves. `None` if nothing bounds it that is known beforehand, as with a policy of your own.
    ///
    /// It is no promise: others acquire meanwhile, and a demand that would fit waits behind those in the queue. A few
    /// atomic loads; under a budget one for each group, and a lock that only the making of groups takes.
    #[must_use]
    pub fn available(&self) -> Option<u64> {
        let figures = &self.manager().figures;
        figures.available(self.request().formula(), self.in_use())
    }

    /// How many wait for admission to its group. One atomic load: it may be otherwise when the answer is read.
    #[must_use]
    pub fn waiters(&self) -> u64 {
        self.group().waiters()
    }
}
