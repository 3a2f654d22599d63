//! Generates `part`: for each field of a message that may hold messages or texts, what one takes in
//! memory, and what its own fields are.

use std::fmt::Write;

use super::model::{Field, Kind, Message, Shape};

/// The method of one message; a message that holds nothing of interest keeps the trait's own.
pub fn push(code: &mut String, message: &Message) {
    let parts: Vec<(i32, String)> = message
        .fields
        .iter()
        .filter_map(|field| Some((field.number, part(field)?)))
        .collect();
    if parts.is_empty() {
        return;
    }
    code.push_str("fn part(field: u32) -> Option<Part> {\nSome(match field {\n");
    for (number, part) in parts {
        let _ = writeln!(code, "{number} => {part},");
    }
    code.push_str("_ => return None,\n})\n}\n");
}

fn part(field: &Field) -> Option<String> {
    match (&field.shape, &field.kind) {
        (Shape::Map, Kind::Message { path, .. }) => Some(format!("Part::entry::<{path}>()")),
        (Shape::Map, _) => Some("Part::text_entry()".to_owned()),
        (_, Kind::Message { path, .. }) => Some(format!("Part::message::<{path}>()")),
        (Shape::List, Kind::Text | Kind::Bytes) => Some("Part::text()".to_owned()),
        (Shape::One | Shape::Required | Shape::List | Shape::Variant { .. }, _) => None,
    }
}
