//! In what a task runs: Mesos' `ContainerInfo`.

use crate::proto::v1;
use crate::proto::v1::container_info::Type;
use crate::proto::v1::volume::source::Type as SourceType;

/// Checks a container by itself.
///
/// # Errors
/// The first thing that contradicts itself.
pub fn check(info: &v1::ContainerInfo) -> Result<(), String> {
    if info.r#type() == Type::Docker {
        let Some(docker) = &info.docker else {
            return Err("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo".to_owned());
        };
        if docker.parameters.iter().any(|p| p.key() == "name") {
            return Err("Parameter in DockerInfo must not be 'name'".to_owned());
        }
    }
    info.volumes.iter().try_for_each(volume)
}

fn volume(volume: &v1::Volume) -> Result<(), String> {
    let given = [
        volume.host_path.is_some(),
        volume.image.is_some(),
        volume.source.is_some(),
    ];
    if given.iter().filter(|g| **g).count() != 1 {
        return Err("Only one of them should be set: 'host_path', 'image' and 'source'".to_owned());
    }
    let Some(source) = &volume.source else {
        return Ok(());
    };
    let (name, present) = match source.r#type() {
        SourceType::Unknown => return Err("'source.type' is unknown".to_owned()),
        SourceType::DockerVolume => ("docker_volume", source.docker_volume.is_some()),
        SourceType::HostPath => ("host_path", source.host_path.is_some()),
        SourceType::SandboxPath => ("sandbox_path", source.sandbox_path.is_some()),
        SourceType::Secret => ("secret", source.secret.is_some()),
        SourceType::CsiVolume => ("csi_volume", source.csi_volume.is_some()),
    };
    if !present {
        return Err(format!(
            "'source.{name}' is not set for {} volume",
            source.r#type().as_str_name()
        ));
    }
    Ok(())
}

/// What the container asks for that cannot be given yet. One that asks for nothing is a plain
/// process.
pub fn unsupported(info: &v1::ContainerInfo) -> Vec<&'static str> {
    let image = info.mesos.as_ref().is_some_and(|m| m.image.is_some());
    let asked = [
        (info.r#type() == Type::Docker, "a DOCKER container"),
        (image, "a container image"),
        (!info.volumes.is_empty(), "volumes"),
        (!info.network_infos.is_empty(), "container networks"),
        (info.hostname.is_some(), "a hostname of its own"),
        (info.linux_info.is_some(), "Linux isolation settings"),
        (info.rlimit_info.is_some(), "resource limits of the kernel"),
        (info.tty_info.is_some(), "a terminal"),
    ];
    asked
        .iter()
        .filter(|(asked, _)| *asked)
        .map(|(_, what)| *what)
        .collect()
}
