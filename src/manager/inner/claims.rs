//! Which manager owns a backend's resource.

use crate::Error;
use crate::sync::unmodelled;
use std::panic::Location;

/// The backends' resources that live managers own, and where each of these managers was built.
static OWNED: unmodelled::Mutex<Vec<(&'static str, &'static Location<'static>)>> =
    unmodelled::Mutex::new(Vec::new());

pub(crate) fn claim(
    resource: &'static str,
    built_at: &'static Location<'static>,
) -> Result<(), Error> {
    let mut owned = OWNED.lock();
    let owner = owned.iter().find(|(other, _)| *other == resource);
    if let Some((resource, built_at)) = owner.copied() {
        return Err(Error::BackendInUse { resource, built_at });
    }
    owned.push((resource, built_at));
    Ok(())
}

pub(crate) fn disclaim(resource: &'static str) {
    OWNED.lock().retain(|(owned, _)| *owned != resource);
}
