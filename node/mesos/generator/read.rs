//! Generates `field` and `read`: from the key of a JSON object to the value of a field.

use std::fmt::Write;

use super::model::{Field, Kind, Message, Shape};

/// The methods of one message.
pub fn push(code: &mut String, message: &Message) {
    if message.fields.is_empty() {
        push_empty(code);
        return;
    }
    code.push_str("fn field(name: &str) -> u32 {\nmatch name {\n");
    for field in &message.fields {
        let _ = writeln!(code, "{:?} => {},", field.name, field.number);
    }
    code.push_str("_ => 0,\n}\n}\n");
    code.push_str(
        "fn read<'de, A: serde::de::MapAccess<'de>>(&mut self, field: u32, map: &mut A) \
         -> Result<(), A::Error> {\nmatch field {\n",
    );
    for field in &message.fields {
        push_field(code, field);
    }
    code.push_str("_ => read::skip(map)?,\n}\nOk(())\n}\n");
}

fn push_empty(code: &mut String) {
    code.push_str("fn field(_name: &str) -> u32 {\n0\n}\n");
    code.push_str(
        "fn read<'de, A: serde::de::MapAccess<'de>>(&mut self, _field: u32, map: &mut A) \
         -> Result<(), A::Error> {\nread::skip(map)\n}\n",
    );
}

fn push_field(code: &mut String, field: &Field) {
    let Field {
        ident,
        number,
        name,
        ..
    } = field;
    let element = element(&field.kind);
    let _ = match &field.shape {
        Shape::One | Shape::Required => {
            let boxed = if field.boxed { ".map(Box::new)" } else { "" };
            let reader = if field.shape == Shape::Required {
                "required"
            } else {
                "optional"
            };
            writeln!(
                code,
                "{number} => self.{ident} = read::{reader}::<{element}, A>(map, {name:?})?{boxed},"
            )
        }
        Shape::List => writeln!(
            code,
            "{number} => self.{ident} = read::list::<{element}, A>(map, {name:?})?,"
        ),
        Shape::Map => writeln!(
            code,
            "{number} => self.{ident} = read::map::<{element}, A>(map, {name:?})?,"
        ),
        Shape::Variant { field, path } => writeln!(
            code,
            "{number} => if let Some(value) = read::optional::<{element}, A>(map, {name:?})? \
             {{ self.{field} = Some({path}::{ident}(value)); }},"
        ),
    };
}

/// The runtime's reader of one value.
fn element(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "read::Boolean".to_owned(),
        Kind::Int32 => "read::Integer<i32>".to_owned(),
        Kind::Int64 => "read::Integer<i64>".to_owned(),
        Kind::Uint32 => "read::Integer<u32>".to_owned(),
        Kind::Uint64 => "read::Integer<u64>".to_owned(),
        Kind::Double => "read::Double".to_owned(),
        Kind::Text => "read::Text".to_owned(),
        Kind::Bytes => "read::Base64".to_owned(),
        Kind::Enum(path) => format!("read::Named<{path}>"),
        Kind::Message { path, .. } => format!("read::Object<{path}>"),
    }
}
