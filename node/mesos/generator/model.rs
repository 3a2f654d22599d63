//! What the generator needs to know of messages, taken from their descriptors.

use std::collections::{BTreeMap, BTreeSet};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::names;

/// The type of a value.
#[derive(Clone, Debug)]
pub enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Double,
    Text,
    Bytes,
    /// The path of the enum.
    Enum(String),
    /// The path of the message, and its full name.
    Message {
        path: String,
        full: String,
    },
}

/// How often a field may stand, and how prost holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An `Option`.
    One,
    /// An `Option`; a message without it is refused.
    Required,
    /// A `Vec`.
    List,
    /// A `BTreeMap` with texts as keys; the field's kind is that of the values.
    Map,
    /// A variant of the enum of a oneof.
    Variant { field: String, path: String },
}

/// A field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// As in JSON.
    pub name: String,
    /// As in Rust; of a oneof's variant the name of the variant.
    pub ident: String,
    pub number: i32,
    pub kind: Kind,
    pub shape: Shape,
    /// Written when the field is unset; as a Rust expression, of an enum the name of the value.
    pub default: Option<String>,
    /// Held in a box, because the message contains itself.
    pub boxed: bool,
}

/// A message, its fields in the order of declaration.
#[derive(Clone, Debug)]
pub struct Message {
    /// With its package, without a dot in front.
    pub name: String,
    pub path: String,
    pub fields: Vec<Field>,
}

/// An enum with the names and numbers of its values.
#[derive(Clone, Debug)]
pub struct Enum {
    pub path: String,
    pub values: Vec<(String, i32)>,
}

/// Everything that code is generated for.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    pub messages: Vec<Message>,
    pub enums: Vec<Enum>,
    /// Full names of messages that have a required field, themselves or inside.
    pub demanding: BTreeSet<String>,
}

impl Schema {
    /// Reads the descriptors as they were written, before `required` is relabelled.
    pub fn new(files: &FileDescriptorSet) -> Schema {
        let mut schema = Schema::default();
        for file in &files.file {
            let package = format!(".{}", file.package());
            for message in &file.message_type {
                schema.add_message(&package, message);
            }
            for definition in &file.enum_type {
                schema.add_enum(&package, definition);
            }
        }
        schema.mark_boxed();
        schema.find_demanding();
        schema
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto) {
        let full = format!("{scope}.{}", message.name());
        let entries: BTreeMap<String, &DescriptorProto> = message
            .nested_type
            .iter()
            .filter(|n| is_map_entry(n))
            .map(|n| (format!("{full}.{}", n.name()), n))
            .collect();
        let fields = message
            .field
            .iter()
            .map(|f| field(&full, message, f, &entries))
            .collect();
        self.messages.push(Message {
            name: full[1..].to_owned(),
            path: names::type_path(&full),
            fields,
        });
        for nested in message.nested_type.iter().filter(|n| !is_map_entry(n)) {
            self.add_message(&full, nested);
        }
        for nested in &message.enum_type {
            self.add_enum(&full, nested);
        }
    }

    /// Values with the number of an earlier one are read as that one, and never written.
    fn add_enum(&mut self, scope: &str, definition: &EnumDescriptorProto) {
        self.enums.push(Enum {
            path: names::type_path(&format!("{scope}.{}", definition.name())),
            values: definition
                .value
                .iter()
                .map(|v| (v.name().to_owned(), v.number()))
                .collect(),
        });
    }

    /// Prost boxes a field whose message leads back to its own over fields that are not lists.
    fn mark_boxed(&mut self) {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for message in &self.messages {
            let targets = message.fields.iter().filter(|f| f.shape != Shape::List);
            edges.insert(
                format!(".{}", message.name),
                targets
                    .filter_map(|f| f.kind.message().map(str::to_owned))
                    .collect(),
            );
        }
        for message in &mut self.messages {
            let own = format!(".{}", message.name);
            for field in &mut message.fields {
                let single = matches!(field.shape, Shape::One | Shape::Required);
                let target = field.kind.message().filter(|_| single);
                field.boxed = target.is_some_and(|t| leads_to(&edges, t, &own));
            }
        }
    }

    fn find_demanding(&mut self) {
        loop {
            let before = self.demanding.len();
            for message in &self.messages {
                let demands = message.fields.iter().any(|f| {
                    f.shape == Shape::Required
                        || f.kind.message().is_some_and(|m| self.demanding.contains(m))
                });
                if demands {
                    self.demanding.insert(format!(".{}", message.name));
                }
            }
            if self.demanding.len() == before {
                return;
            }
        }
    }
}

impl Kind {
    /// The full name, if it is a message.
    pub fn message(&self) -> Option<&str> {
        match self {
            Kind::Message { full, .. } => Some(full),
            Kind::Bool
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Double
            | Kind::Text
            | Kind::Bytes
            | Kind::Enum(_) => None,
        }
    }
}

fn leads_to(edges: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut left = vec![from.to_owned()];
    while let Some(name) = left.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name.clone()) {
            left.extend(edges.get(&name).into_iter().flatten().cloned());
        }
    }
    false
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|o| o.map_entry())
}

fn field(
    full: &str,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
    entries: &BTreeMap<String, &DescriptorProto>,
) -> Field {
    let mut shape = match field.label() {
        Label::Optional => Shape::One,
        Label::Required => Shape::Required,
        Label::Repeated => Shape::List,
    };
    let mut kind_of = field;
    let mut ident = names::field_ident(field.name());
    if let Some(entry) = entries.get(field.type_name()) {
        kind_of = entry
            .field
            .iter()
            .find(|f| f.number() == 2)
            .expect("a map has values");
        shape = Shape::Map;
    } else if let Some(index) = field.oneof_index {
        let oneof = message.oneof_decl[index as usize].name();
        ident = names::variant_ident(field.name());
        shape = Shape::Variant {
            field: names::field_ident(oneof),
            path: names::oneof_path(full, oneof),
        };
    }
    let deprecated = field.options.as_ref().is_some_and(|o| o.deprecated());
    Field {
        name: field.name().to_owned(),
        ident,
        number: field.number(),
        kind: kind(kind_of),
        shape,
        default: field
            .default_value
            .as_ref()
            .filter(|_| !deprecated)
            .map(|text| default(kind_of.r#type(), text)),
        boxed: false,
    }
}

fn kind(field: &FieldDescriptorProto) -> Kind {
    match field.r#type() {
        Type::Bool => Kind::Bool,
        Type::Int32 => Kind::Int32,
        Type::Int64 => Kind::Int64,
        Type::Uint32 => Kind::Uint32,
        Type::Uint64 => Kind::Uint64,
        Type::Double => Kind::Double,
        Type::String => Kind::Text,
        Type::Bytes => Kind::Bytes,
        Type::Enum => Kind::Enum(names::type_path(field.type_name())),
        Type::Message => Kind::Message {
            path: names::type_path(field.type_name()),
            full: field.type_name().to_owned(),
        },
        other => panic!(
            "field {} has type {other:?}, which Mesos does not use",
            field.name()
        ),
    }
}

fn default(kind: Type, text: &str) -> String {
    match kind {
        Type::Double => format!("{text}_f64"),
        Type::String | Type::Enum => format!("{text:?}"),
        _ => text.to_owned(),
    }
}
