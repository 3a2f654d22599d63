//! Generates `missing`: the required fields that are absent, own ones first.

use std::fmt::Write;

use super::model::{Field, Kind, Message, Schema, Shape};

/// The method of one message; messages that demand nothing keep the trait's own, which is empty.
pub fn push(code: &mut String, schema: &Schema, message: &Message) {
    if !schema.demanding.contains(&format!(".{}", message.name)) {
        return;
    }
    code.push_str("fn missing(&self, report: &mut Missing) {\n");
    for field in message.fields.iter().filter(|f| f.shape == Shape::Required) {
        let Field { ident, name, .. } = field;
        // A number that the enum does not have is no value of it: proto2 reads it as absent.
        let known = match &field.kind {
            Kind::Enum(path) => format!(".and_then(<{path} as Names>::name)"),
            Kind::Bool
            | Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Double
            | Kind::Text
            | Kind::Bytes
            | Kind::Message { .. } => String::new(),
        };
        let _ = writeln!(
            code,
            "if self.{ident}{known}.is_none() {{ report.absent({name:?}); }}"
        );
    }
    let mut inside: Vec<&Field> = message
        .fields
        .iter()
        .filter(|f| {
            f.kind
                .message()
                .is_some_and(|m| schema.demanding.contains(m))
        })
        .collect();
    inside.sort_by_key(|f| f.number);
    for field in inside {
        push_inside(code, field);
    }
    code.push_str("}\n");
}

fn push_inside(code: &mut String, field: &Field) {
    let Field { ident, name, .. } = field;
    let _ = match &field.shape {
        Shape::One | Shape::Required => writeln!(
            code,
            "if let Some(value) = &self.{ident} \
             {{ report.enter({name:?}, None); value.missing(report); report.leave(); }}"
        ),
        Shape::List => writeln!(
            code,
            "for (index, value) in self.{ident}.iter().enumerate() \
             {{ report.enter({name:?}, Some(index)); value.missing(report); report.leave(); }}"
        ),
        Shape::Map => writeln!(
            code,
            "for (index, value) in self.{ident}.values().enumerate() \
             {{ report.enter({name:?}, Some(index)); value.missing(report); report.leave(); }}"
        ),
        Shape::Variant { field, path } => writeln!(
            code,
            "if let Some({path}::{ident}(value)) = &self.{field} \
             {{ report.enter({name:?}, None); value.missing(report); report.leave(); }}"
        ),
    };
}
