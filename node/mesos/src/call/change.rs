//! Changes of resources, as frameworks and operators write them.

use shoal_api::operation::Change;
use shoal_api::{Amount, Resources};

use crate::proto::v1;
use crate::resources;

/// A change, and the role that its resources say to be allocated to.
pub type Changed = Result<(Change, Option<String>), String>;

fn read(list: &[v1::Resource]) -> Result<(Resources, Option<String>), String> {
    let (resources, role) =
        resources::from_wire(list).map_err(|why| format!("Invalid resources: {why}"))?;
    Ok((resources, role.map(str::to_owned)))
}

/// A change of a list of resources.
///
/// # Errors
/// What is wrong with them.
pub fn all(list: &[v1::Resource], change: fn(Resources) -> Change) -> Changed {
    let (resources, role) = read(list)?;
    Ok((change(resources), role))
}

/// GROW_VOLUME.
///
/// # Errors
/// What is wrong with it.
pub fn grow(volume: Option<v1::Resource>, addition: Option<v1::Resource>) -> Changed {
    let (volume, role) = read(&[volume.unwrap_or_default()])?;
    let (addition, _) = read(&[addition.unwrap_or_default()])?;
    Ok((Change::Grow { volume, addition }, role))
}

/// SHRINK_VOLUME.
///
/// # Errors
/// What is wrong with it.
pub fn shrink(volume: Option<v1::Resource>, subtract: Option<v1::value::Scalar>) -> Changed {
    let (volume, role) = read(&[volume.unwrap_or_default()])?;
    let subtract = subtract.unwrap_or_default().value();
    let subtract = Amount::from_f64(subtract)
        .ok_or_else(|| "Invalid 'ShrinkVolume.subtract': not a finite number".to_owned())?;
    Ok((Change::Shrink { volume, subtract }, role))
}
