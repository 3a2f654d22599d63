//! Generates `put`: a message as JSON, its fields in the order of declaration.

use std::fmt::Write;

use super::model::{Field, Kind, Message, Shape};

/// The method of one message.
pub fn push(code: &mut String, message: &Message) {
    code.push_str("fn put(&self, out: &mut Vec<u8>) {\n");
    if message.fields.is_empty() {
        code.push_str("out.extend_from_slice(b\"{}\");\n}\n");
        return;
    }
    code.push_str("let mut object = write::Object::new(out);\n");
    for field in &message.fields {
        push_field(code, field);
    }
    code.push_str("object.end();\n}\n");
}

fn push_field(code: &mut String, field: &Field) {
    let ident = &field.ident;
    let key = format!("{:?}", format!(",\"{}\":", field.name));
    let out = format!("object.field({key})");
    let put = put_value(&field.kind);
    let _ = match &field.shape {
        Shape::One | Shape::Required => push_single(code, field, &out),
        Shape::List => writeln!(
            code,
            "if !self.{ident}.is_empty() {{ write::list({out}, &self.{ident}, |out, value| {put}); }}"
        ),
        Shape::Map => writeln!(
            code,
            "if !self.{ident}.is_empty() {{ write::map({out}, &self.{ident}, |out, value| {put}); }}"
        ),
        Shape::Variant { field, path } => {
            writeln!(
                code,
                "if let Some({path}::{ident}(value)) = &self.{field} {{ let out = {out}; {put}; }}"
            )
        }
    };
}

fn push_single(code: &mut String, field: &Field, out: &str) -> std::fmt::Result {
    let ident = &field.ident;
    match (&field.kind, &field.default) {
        (Kind::Enum(path), None) => writeln!(
            code,
            "if let Some(name) = self.{ident}.and_then(<{path} as Names>::name) {{ write::word({out}, name); }}"
        ),
        (Kind::Enum(path), Some(default)) => writeln!(
            code,
            "write::word({out}, self.{ident}.and_then(<{path} as Names>::name).unwrap_or({default}));"
        ),
        (Kind::Text, Some(default)) => writeln!(
            code,
            "write::text({out}, self.{ident}.as_deref().unwrap_or({default}));"
        ),
        (kind, Some(default)) => {
            let put = put_value(kind);
            writeln!(
                code,
                "{{ let value = &self.{ident}.unwrap_or({default}); let out = {out}; {put}; }}"
            )
        }
        (kind, None) => {
            let put = put_value(kind);
            writeln!(
                code,
                "if let Some(value) = &self.{ident} {{ let out = {out}; {put}; }}"
            )
        }
    }
}

/// An expression that writes `value`, a reference, to `out`.
fn put_value(kind: &Kind) -> String {
    match kind {
        Kind::Bool => "write::boolean(out, *value)".to_owned(),
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 => {
            "write::integer(out, *value)".to_owned()
        }
        Kind::Double => "write::double(out, *value)".to_owned(),
        Kind::Text => "write::text(out, value)".to_owned(),
        Kind::Bytes => "write::bytes(out, value)".to_owned(),
        Kind::Enum(path) => format!("write::named::<{path}>(out, *value)"),
        Kind::Message { .. } => "value.put(out)".to_owned(),
    }
}
