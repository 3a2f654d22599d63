//! Writes Rust code for JSON and required fields from the descriptors of the messages.
//!
//! One module per thing that is generated; [`model`] is what they read. The binary codec is prost's
//! and deliberately not here.

pub mod check;
pub mod model;
pub mod names;
pub mod part;
pub mod read;
pub mod write;

use std::collections::BTreeSet;
use std::fmt::Write;

use model::{Enum, Message, Schema};

/// All code, to be included in the module of the runtime.
pub fn generate(schema: &Schema) -> String {
    let mut code = String::new();
    for message in &schema.messages {
        push_message(&mut code, schema, message);
    }
    for definition in &schema.enums {
        push_enum(&mut code, definition);
    }
    code
}

fn push_message(code: &mut String, schema: &Schema, message: &Message) {
    let path = &message.path;
    let name = &message.name;
    let _ = writeln!(code, "impl Message for {path} {{");
    let _ = writeln!(code, "const NAME: &'static str = {name:?};");
    write::push(code, message);
    read::push(code, message);
    check::push(code, schema, message);
    part::push(code, message);
    code.push_str("}\n");
}

fn push_enum(code: &mut String, definition: &Enum) {
    let path = &definition.path;
    let _ = writeln!(code, "impl Names for {path} {{");
    code.push_str("fn name(number: i32) -> Option<&'static str> {\nSome(match number {\n");
    let mut named = BTreeSet::new();
    for (name, number) in &definition.values {
        if named.insert(number) {
            let _ = writeln!(code, "{number} => {name:?},");
        }
    }
    code.push_str("_ => return None,\n})\n}\n");
    code.push_str("fn number(name: &str) -> Option<i32> {\nSome(match name {\n");
    for (name, number) in &definition.values {
        let _ = writeln!(code, "{name:?} => {number},");
    }
    code.push_str("_ => return None,\n})\n}\n}\n");
}
