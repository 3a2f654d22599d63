//! The terms of resources between Mesos' messages and our words: reservations in the old form and as
//! stacks, disks and volumes, shared, revocable.
//!
//! Source: facts 8.4 to 8.10. The texts are those of Mesos where it has some.

use std::sync::Arc;

use shoal_api::terms::{Labels, is_below};
use shoal_api::{
    Disk, DiskKind, DiskSource, Principal, Reservation, ReservationKind, Role, Terms, Volume,
};

use crate::proto::v1;
use crate::proto::v1::resource::disk_info::source::Type as SourceType;
use crate::proto::v1::resource::reservation_info::Type as ReservationType;
use crate::proto::v1::resource::{DiskInfo, ReservationInfo, disk_info};
use crate::proto::v1::volume::Mode;

/// How reservations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As they are in what an agent says of itself: a stack, and nothing where there is none.
    Stack,
    /// A role and at most one reservation, as before there were stacks. Of a taller stack only the
    /// top can be said: whoever wants this form is offered none.
    Old,
    /// Both, as in listings.
    Both,
}

/// Writes terms into a resource.
pub fn put(terms: Option<&Terms>, form: Form, wire: &mut v1::Resource) {
    let Some(terms) = terms else {
        if form != Form::Stack {
            wire.role = Some("*".to_owned());
        }
        return;
    };
    if form != Form::Old {
        wire.reservations = terms.reservations.iter().map(reservation).collect();
    }
    if form == Form::Old || (form == Form::Both && terms.reservations.len() < 2) {
        let top = terms.reservations.last();
        wire.role = Some(top.map_or("*", |top| top.role.as_str()).to_owned());
        let dynamic = top.filter(|top| top.kind == ReservationKind::Dynamic);
        wire.reservation = dynamic.map(|top| ReservationInfo {
            r#type: None,
            role: None,
            ..reservation(top)
        });
    }
    wire.disk = terms.disk.as_ref().map(disk);
    wire.revocable = terms.revocable.then(v1::resource::RevocableInfo::default);
    wire.shared = terms.shared.then(v1::resource::SharedInfo::default);
    wire.provider_id = terms.provider.as_ref().map(|id| v1::ResourceProviderId {
        value: Some(id.to_string()),
    });
}

fn reservation(of: &Reservation) -> ReservationInfo {
    let kind = match of.kind {
        ReservationKind::Static => ReservationType::Static,
        ReservationKind::Dynamic => ReservationType::Dynamic,
    };
    ReservationInfo {
        r#type: Some(kind.into()),
        role: Some(of.role.as_str().to_owned()),
        principal: of.principal.as_ref().map(Principal::to_string),
        labels: labels(&of.labels),
    }
}

fn labels(of: &Labels) -> Option<v1::Labels> {
    let label = |(key, value): &(Arc<str>, Option<Arc<str>>)| v1::Label {
        key: Some(key.to_string()),
        value: value.as_ref().map(|value| value.to_string()),
    };
    (!of.is_empty()).then(|| v1::Labels {
        labels: of.iter().map(label).collect(),
    })
}

fn disk(of: &Disk) -> DiskInfo {
    DiskInfo {
        persistence: of.volume.as_ref().map(|volume| disk_info::Persistence {
            id: Some(volume.id.to_string()),
            principal: volume.principal.as_ref().map(Principal::to_string),
        }),
        volume: of.volume.as_ref().map(|volume| v1::Volume {
            mode: Some(Mode::Rw.into()),
            container_path: Some(volume.container_path.to_string()),
            ..v1::Volume::default()
        }),
        source: of.source.as_ref().map(source),
    }
}

fn source(of: &DiskSource) -> disk_info::Source {
    let text = |text: &Option<Arc<str>>| text.as_ref().map(|text| text.to_string());
    let mut wire = disk_info::Source {
        vendor: text(&of.vendor),
        id: text(&of.id),
        profile: text(&of.profile),
        metadata: labels(&of.metadata),
        ..disk_info::Source::default()
    };
    let root = text(&of.root);
    let kind = match of.kind {
        DiskKind::Path => {
            wire.path = Some(disk_info::source::Path { root });
            SourceType::Path
        }
        DiskKind::Mount => {
            wire.mount = Some(disk_info::source::Mount { root });
            SourceType::Mount
        }
        DiskKind::Block => SourceType::Block,
        DiskKind::Raw => SourceType::Raw,
    };
    wire.r#type = Some(kind.into());
    wire
}

/// The terms of a resource; nothing where anybody may use it for anything.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn read(wire: &v1::Resource) -> Result<Option<Arc<Terms>>, String> {
    let plain = wire.reservations.is_empty()
        && wire.reservation.is_none()
        && wire.role.as_deref().is_none_or(|role| role == "*")
        && wire.disk.is_none()
        && wire.revocable.is_none()
        && wire.shared.is_none()
        && wire.provider_id.is_none();
    if plain {
        return Ok(None);
    }
    let terms = Terms {
        reservations: read_reservations(wire)?,
        disk: read_disk(wire)?,
        revocable: wire.revocable.is_some(),
        shared: wire.shared.is_some(),
        provider: wire.provider_id.as_ref().map(|id| Arc::from(id.value())),
    };
    if terms.shared && terms.volume().is_none() {
        return Err("Only persistent volumes can be shared".to_owned());
    }
    if terms.revocable && !terms.reservations.is_empty() {
        return Err("A revocable resource cannot be reserved".to_owned());
    }
    if terms.revocable && terms.volume().is_some() {
        return Err("A persistent volume cannot be revocable".to_owned());
    }
    Ok((terms != Terms::default()).then(|| Arc::new(terms)))
}

fn read_reservations(wire: &v1::Resource) -> Result<Vec<Reservation>, String> {
    let old = read_old(wire)?;
    if wire.reservations.is_empty() {
        return Ok(old.into_iter().collect());
    }
    let mut stack: Vec<Reservation> = Vec::with_capacity(wire.reservations.len());
    for info in &wire.reservations {
        let next = read_refined(info)?;
        if let Some(below) = stack.last() {
            if next.kind == ReservationKind::Static {
                return Err(
                    "Invalid refined reservation: A refined reservation cannot be STATIC"
                        .to_owned(),
                );
            }
            if !is_below(&next.role, &below.role) {
                return Err(format!(
                    "Invalid refined reservation: role '{}' is not a refinement of '{}'",
                    next.role, below.role
                ));
            }
        }
        stack.push(next);
    }
    // Listings say both; whoever sends one back must not have changed half of it.
    let differs = match &old {
        Some(old) => stack.len() != 1 || stack[0] != *old,
        None => false,
    };
    if differs {
        return Err(
            "'Resource.role' and 'Resource.reservation' must not be set with other \
             'Resource.reservations'"
                .to_owned(),
        );
    }
    Ok(stack)
}

fn read_refined(info: &ReservationInfo) -> Result<Reservation, String> {
    let kind = match info.r#type.map(|_| info.r#type()) {
        Some(ReservationType::Static) => ReservationKind::Static,
        Some(ReservationType::Dynamic) => ReservationKind::Dynamic,
        Some(ReservationType::Unknown) | None => {
            return Err(
                "Invalid reservation: 'Resource.ReservationInfo.type' field must be set".to_owned(),
            );
        }
    };
    let Some(role) = info.role.as_deref() else {
        return Err(
            "Invalid reservation: 'Resource.ReservationInfo.role' field must be set".to_owned(),
        );
    };
    read_one(kind, role, info)
}

fn read_one(
    kind: ReservationKind,
    role: &str,
    info: &ReservationInfo,
) -> Result<Reservation, String> {
    let role = Role::new(role).map_err(|error| format!("Invalid reservation: {error}"))?;
    if role == Role::any() {
        return Err("Invalid reservation: role \"*\" cannot be reserved".to_owned());
    }
    Ok(Reservation {
        kind,
        role,
        principal: principal(info.principal.as_deref())?,
        labels: read_labels(info.labels.as_ref()),
    })
}

/// A role, and a reservation for it if that is dynamic.
fn read_old(wire: &v1::Resource) -> Result<Option<Reservation>, String> {
    let role = wire.role.as_deref().unwrap_or("*");
    match (&wire.reservation, role) {
        (None, "*") => Ok(None),
        (None, role) => {
            read_one(ReservationKind::Static, role, &ReservationInfo::default()).map(Some)
        }
        (Some(_), "*") => {
            Err("Invalid reservation: role \"*\" cannot be dynamically reserved".to_owned())
        }
        (Some(info), role) => {
            if info.r#type.is_some() || info.role.is_some() {
                return Err("Invalid reservation: 'type' and 'role' must not be set in \
                     'Resource.reservation'"
                    .to_owned());
            }
            read_one(ReservationKind::Dynamic, role, info).map(Some)
        }
    }
}

fn principal(text: Option<&str>) -> Result<Option<Principal>, String> {
    text.map(Principal::new)
        .transpose()
        .map_err(|error| error.to_string())
}

fn read_labels(wire: Option<&v1::Labels>) -> Labels {
    let list = wire.map_or(&[][..], |wire| &wire.labels);
    let label = |label: &v1::Label| {
        let value = label.value.as_deref().map(Arc::from);
        (Arc::from(label.key()), value)
    };
    let mut labels: Labels = list.iter().map(label).collect();
    labels.sort_unstable();
    labels
}

fn read_disk(wire: &v1::Resource) -> Result<Option<Disk>, String> {
    let Some(info) = &wire.disk else {
        return Ok(None);
    };
    if wire.name() != "disk" {
        return Err(format!(
            "DiskInfo should not be set for {} resource",
            wire.name()
        ));
    }
    let disk = Disk {
        source: info.source.as_ref().map(read_source).transpose()?,
        volume: read_volume(info)?,
    };
    Ok((disk != Disk::default()).then_some(disk))
}

fn read_volume(info: &DiskInfo) -> Result<Option<Volume>, String> {
    let (persistence, volume) = match (&info.persistence, &info.volume) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err("Non-persistent volume not supported".to_owned()),
        (Some(_), None) => {
            return Err("Expecting 'volume' to be set for persistent volume".to_owned());
        }
        (Some(persistence), Some(volume)) => (persistence, volume),
    };
    if volume.mode() != Mode::Rw {
        return Err("Read-only persistent volume not supported".to_owned());
    }
    if volume.host_path.is_some() {
        return Err("Expecting 'host_path' to be unset for persistent volume".to_owned());
    }
    if volume.image.is_some() || volume.source.is_some() {
        return Err("Expecting 'image' and 'source' to be unset for persistent volume".to_owned());
    }
    let id = persistence.id();
    shoal_api::TaskId::new(id)
        .map_err(|error| format!("Invalid persistence ID for persistent volume: {error}"))?;
    if volume.container_path().is_empty() {
        return Err("Expecting 'container_path' to be set for persistent volume".to_owned());
    }
    Ok(Some(Volume {
        id: Arc::from(id),
        principal: principal(persistence.principal.as_deref())?,
        container_path: Arc::from(volume.container_path()),
        created: 0,
    }))
}

fn read_source(wire: &disk_info::Source) -> Result<DiskSource, String> {
    let (kind, root) = match wire.r#type() {
        SourceType::Unknown => return Err("Unsupported 'DiskInfo.Source.Type'".to_owned()),
        SourceType::Path => (
            DiskKind::Path,
            wire.path.as_ref().and_then(|p| p.root.as_deref()),
        ),
        SourceType::Mount => (
            DiskKind::Mount,
            wire.mount.as_ref().and_then(|m| m.root.as_deref()),
        ),
        SourceType::Block => (DiskKind::Block, None),
        SourceType::Raw => (DiskKind::Raw, None),
    };
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    Ok(DiskSource {
        kind,
        root: root.map(Arc::from),
        id: text(&wire.id),
        metadata: read_labels(wire.metadata.as_ref()),
        profile: text(&wire.profile),
        vendor: text(&wire.vendor),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::codec::Codec;
    use crate::json::Message;
    use crate::resources::{Dialect, from_wire, to_wire};

    fn wire(extra: &Value) -> v1::Resource {
        let mut all = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 64.0}});
        for (name, value) in extra.as_object().unwrap() {
            all[name] = value.clone();
        }
        Codec::Json.decode(all.to_string().as_bytes()).unwrap()
    }

    fn why(extra: &Value) -> String {
        let error = from_wire(&[wire(extra)]).unwrap_err();
        let start = "Resource 'disk' is invalid: ";
        error.strip_prefix(start).unwrap_or(&error).to_owned()
    }

    fn written(extra: &Value, form: Form) -> Value {
        let terms = read(&wire(extra)).unwrap();
        let mut bare = wire(&json!({}));
        put(terms.as_deref(), form, &mut bare);
        let mut out = Vec::new();
        bare.put(&mut out);
        serde_json::from_slice(&out).unwrap()
    }

    fn volume() -> Value {
        json!({
            "reservations": [{"type": "DYNAMIC", "role": "web", "principal": "op",
                "labels": {"labels": [{"key": "k", "value": "v"}]}}],
            "disk": {"persistence": {"id": "v1", "principal": "op"},
                "volume": {"mode": "RW", "container_path": "data"},
                "source": {"type": "MOUNT", "mount": {"root": "/mnt/a"}}},
            "shared": {},
        })
    }

    #[test]
    fn all_terms_are_written_and_read_back() {
        let raw = json!({"disk": {"source": {"type": "RAW", "vendor": "v", "id": "i",
            "metadata": {"labels": [{"key": "k"}]}, "profile": "p"}}});
        for extra in [volume(), raw, json!({"revocable": {}}), json!({})] {
            let (resources, _) = from_wire(&[wire(&extra)]).unwrap();
            for reservations in [true, false] {
                let dialect = Dialect {
                    allocation_info: true,
                    reservations,
                };
                let again = to_wire(&resources, "web", dialect);
                assert_eq!(from_wire(&again), Ok((resources.clone(), Some("web"))));
            }
        }
    }

    #[test]
    fn the_old_form_says_the_role_and_listings_say_both() {
        let old = written(&volume(), Form::Old);
        assert_eq!(old["role"], "web");
        assert_eq!(old["reservation"]["principal"], "op");
        assert_eq!(old.get("reservations"), None);
        let fixed = json!({"reservations": [{"type": "STATIC", "role": "web"}]});
        let both = written(&fixed, Form::Both);
        assert_eq!(
            (&both["role"], both.get("reservation")),
            (&json!("web"), None)
        );
        assert_eq!(both["reservations"], fixed["reservations"]);
        assert_eq!(written(&json!({}), Form::Both)["role"], "*");
        assert_eq!(written(&json!({}), Form::Stack).get("role"), None);
        let old = json!({"role": "web", "reservation": {"principal": "op"}});
        let stack =
            json!({"reservations": [{"type": "DYNAMIC", "role": "web", "principal": "op"}]});
        assert_eq!(read(&wire(&old)), read(&wire(&stack)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let stack = |second: Value| {
            why(&json!({"reservations": [{"type": "STATIC", "role": "a"}, second]}))
        };
        assert!(stack(json!({"type": "STATIC", "role": "a/b"})).contains("cannot be STATIC"));
        assert_eq!(
            stack(json!({"type": "DYNAMIC", "role": "b"})),
            "Invalid refined reservation: role 'b' is not a refinement of 'a'"
        );
        let star = json!({"reservations": [{"type": "DYNAMIC", "role": "*"}]});
        assert!(why(&star).contains("\"*\" cannot be reserved"));
        let both = json!({"role": "b", "reservations": [{"type": "STATIC", "role": "a"}]});
        assert!(why(&both).contains("must not be set with"));
        assert!(why(&json!({"reservation": {}})).contains("dynamically reserved"));
        assert!(why(&json!({"shared": {}})).contains("Only persistent volumes"));
        let revocable = json!({"role": "a", "revocable": {}});
        assert!(why(&revocable).contains("cannot be reserved"));
        let disk = |persistence: Value, volume: Value| {
            why(&json!({"disk": {"persistence": persistence, "volume": volume}}))
        };
        let rw = json!({"mode": "RW", "container_path": "d"});
        assert!(disk(json!(null), rw.clone()).contains("Non-persistent volume"));
        assert!(disk(json!({"id": "v"}), json!(null)).contains("Expecting 'volume'"));
        assert!(disk(json!({"id": "../v"}), rw).contains("Invalid persistence ID"));
        let ro = json!({"mode": "RO", "container_path": "d"});
        assert!(disk(json!({"id": "v"}), ro).contains("Read-only"));
        let host = json!({"mode": "RW", "container_path": "d", "host_path": "/etc"});
        assert!(disk(json!({"id": "v"}), host).contains("host_path"));
    }
}
