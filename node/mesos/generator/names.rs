//! The Rust names that prost gives to messages, enums and fields.

use heck::{ToSnakeCase, ToUpperCamelCase};

/// Where the module of package `mesos.v1` is in the crate.
const ROOT: &str = "crate::proto::v1";
/// The package of that module.
const PACKAGE: &str = ".mesos.v1";

/// The path of a type from its full name, `.mesos.v1.Resource.DiskInfo.Source` for instance.
pub fn type_path(full: &str) -> String {
    let parts: Vec<&str> = inner(full).split('.').collect();
    let (last, modules) = parts.split_last().expect("a type has a name");
    let mut path = ROOT.to_owned();
    for module in modules {
        path.push_str("::");
        path.push_str(&ident(&module.to_snake_case()));
    }
    path.push_str("::");
    path.push_str(&last.to_upper_camel_case());
    path
}

/// The path of a oneof's enum from the full name of its message.
pub fn oneof_path(message: &str, oneof: &str) -> String {
    let mut path = ROOT.to_owned();
    for module in inner(message).split('.') {
        path.push_str("::");
        path.push_str(&ident(&module.to_snake_case()));
    }
    path.push_str("::");
    path.push_str(&oneof.to_upper_camel_case());
    path
}

/// The name of a struct's field.
pub fn field_ident(name: &str) -> String {
    ident(&name.to_snake_case())
}

/// The name of a oneof's variant.
pub fn variant_ident(name: &str) -> String {
    name.to_upper_camel_case()
}

fn inner(full: &str) -> &str {
    full.strip_prefix(PACKAGE)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or_else(|| panic!("type {full} is outside of package {PACKAGE}"))
}

fn ident(name: &str) -> String {
    match name {
        "type" | "ref" | "move" | "match" | "mod" => format!("r#{name}"),
        _ => name.to_owned(),
    }
}
