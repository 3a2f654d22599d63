//! Protobuf by the wire table alone: a writer and a strict reader that know nothing of Shoal's code.
//!
//! The table, `real/scheduler.wire`, lists the messages of Mesos' scheduler API with names, numbers
//! and types. Messages are JSON values here, bytes in them hexadecimal texts.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Bytes of the longest varint.
const VARINT: usize = 10;

/// How often a field may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Optional,
    Required,
    Repeated,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    number: u64,
    kind: String,
    label: Label,
}

/// What the table says.
#[derive(Clone, Debug, Default)]
pub struct Table {
    messages: BTreeMap<String, Vec<Field>>,
    enums: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Table {
    /// Of the scheduler API.
    pub fn scheduler() -> Table {
        let mut table = Table::default();
        for line in include_str!("../../real/scheduler.wire").lines() {
            let (name, rest) = line.split_once(':').expect("a line has a name");
            let parts = rest.trim().split("; ").filter(|part| !part.is_empty());
            if let Some(name) = name.strip_prefix("enum ") {
                let values = parts.map(|part| {
                    let (name, number) = part.split_once('=').expect("a value has a number");
                    (name.to_string(), number.parse().expect("it is a number"))
                });
                table.enums.insert(name.to_string(), values.collect());
            } else {
                table
                    .messages
                    .insert(name.to_string(), parts.map(field).collect());
            }
        }
        table
    }

    fn fields(&self, message: &str) -> Result<&[Field], String> {
        let fields = self.messages.get(message);
        fields
            .map(Vec::as_slice)
            .ok_or(format!("{message} is not in the table"))
    }

    /// The bytes of a message; every field must be in the table.
    pub fn encode(&self, message: &str, value: &Value) -> Vec<u8> {
        let given = value.as_object().expect("a message is an object");
        let fields = self.fields(message).expect("the test knows its messages");
        let mut bytes = Vec::new();
        for (name, value) in given {
            let field = fields.iter().find(|field| field.name == *name);
            let field = field.unwrap_or_else(|| panic!("{message} has no {name}"));
            match (field.label, value.as_array()) {
                (Label::Repeated, Some(items)) => {
                    for item in items {
                        self.put(&mut bytes, field, item);
                    }
                }
                _ => self.put(&mut bytes, field, value),
            }
        }
        bytes
    }

    fn put(&self, bytes: &mut Vec<u8>, field: &Field, value: &Value) {
        let text = || value.as_str().expect("a text");
        let (wire_type, payload) = match field.kind.as_str() {
            "bool" => (0, varint(u64::from(value.as_bool().expect("a bool")))),
            "int32" | "int64" => (0, varint(value.as_i64().expect("a number") as u64)),
            "uint32" | "uint64" => (0, varint(value.as_u64().expect("a number"))),
            "double" => {
                let number = value.as_f64().expect("a number");
                (1, number.to_le_bytes().to_vec())
            }
            "string" => (2, prefixed(text().as_bytes().to_vec())),
            "bytes" => (2, prefixed(from_hex(text()))),
            kind => match self.enums.get(kind) {
                Some(values) => (0, varint(values[text()])),
                None => (2, prefixed(self.encode(kind, value))),
            },
        };
        bytes.extend(varint(field.number << 3 | wire_type));
        bytes.extend(payload);
    }

    /// The message in these bytes, if every one of them is as the table says.
    ///
    /// # Errors
    /// The first thing that is not.
    pub fn decode(&self, message: &str, bytes: &[u8]) -> Result<Value, String> {
        let fields = self.fields(message)?;
        let mut found = Map::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let key = take_varint(&mut rest)?;
            let field = fields.iter().find(|field| field.number == key >> 3);
            let field = field.ok_or(format!("{message} has no field {}", key >> 3))?;
            let at = format!("{message}.{}", field.name);
            let value = self.take(&mut rest, field, key & 7);
            let value = value.map_err(|why| format!("{at}: {why}"))?;
            if field.label == Label::Repeated {
                let list = found.entry(&field.name).or_insert(Value::Array(Vec::new()));
                list.as_array_mut().expect("it is a list").push(value);
            } else if found.insert(field.name.clone(), value).is_some() {
                return Err(format!("{at} stands twice"));
            }
        }
        let absent =
            |field: &&Field| field.label == Label::Required && !found.contains_key(&field.name);
        match fields.iter().find(absent) {
            Some(field) => Err(format!("{message}.{} is absent", field.name)),
            None => Ok(Value::Object(found)),
        }
    }

    fn take(&self, rest: &mut &[u8], field: &Field, wire_type: u64) -> Result<Value, String> {
        let kind = field.kind.as_str();
        let wanted = match kind {
            "bool" | "int32" | "int64" | "uint32" | "uint64" => 0,
            "double" => 1,
            _ if self.enums.contains_key(kind) => 0,
            _ => 2,
        };
        if wire_type != wanted {
            return Err(format!("wire type {wire_type} for {wanted}"));
        }
        match kind {
            "bool" => match take_varint(rest)? {
                0 => Ok(Value::Bool(false)),
                1 => Ok(Value::Bool(true)),
                other => Err(format!("{other} is no bool")),
            },
            "int32" => {
                let wide = take_varint(rest)? as i64;
                let number = i32::try_from(wide).map_err(|why| why.to_string())?;
                Ok(number.into())
            }
            "uint32" => {
                let number = u32::try_from(take_varint(rest)?).map_err(|why| why.to_string())?;
                Ok(number.into())
            }
            "int64" => Ok((take_varint(rest)? as i64).into()),
            "uint64" => Ok(take_varint(rest)?.into()),
            "double" => {
                let bytes: [u8; 8] = take(rest, 8)?.try_into().expect("eight bytes");
                Ok(f64::from_le_bytes(bytes).into())
            }
            _ => match self.enums.get(kind) {
                Some(values) => {
                    let number = take_varint(rest)?;
                    let name = values.iter().find(|(_, value)| **value == number);
                    let (name, _) = name.ok_or(format!("{kind} has no {number}"))?;
                    Ok(name.as_str().into())
                }
                None => {
                    let length = take_varint(rest)?;
                    let length = usize::try_from(length).map_err(|why| why.to_string())?;
                    self.inside(kind, take(rest, length)?)
                }
            },
        }
    }

    fn inside(&self, kind: &str, bytes: &[u8]) -> Result<Value, String> {
        match kind {
            "string" => {
                let text = str::from_utf8(bytes).map_err(|why| why.to_string())?;
                Ok(text.into())
            }
            "bytes" => Ok(to_hex(bytes).into()),
            message => self.decode(message, bytes),
        }
    }
}

fn field(text: &str) -> Field {
    let words: Vec<&str> = text.split(' ').collect();
    let (name, number) = words[0].split_once('=').expect("a field has a number");
    Field {
        name: name.to_string(),
        number: number.parse().expect("it is a number"),
        kind: words[1].to_string(),
        label: match words.get(2) {
            None => Label::Optional,
            Some(&"req") => Label::Required,
            Some(&"rep") => Label::Repeated,
            Some(other) => panic!("{other} is no label"),
        },
    }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn prefixed(payload: Vec<u8>) -> Vec<u8> {
    let mut bytes = varint(payload.len() as u64);
    bytes.extend(payload);
    bytes
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let all: &'a [u8] = rest;
    if length > all.len() {
        return Err(format!("{length} bytes of {} left", all.len()));
    }
    let (taken, left) = all.split_at(length);
    *rest = left;
    Ok(taken)
}

/// A number in the fewest bytes.
fn take_varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0_u128;
    for at in 0..VARINT {
        let byte = take(rest, 1)?[0];
        number |= u128::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            if byte == 0 && at > 0 {
                return Err("a number is longer than it must be".to_string());
            }
            return u64::try_from(number).map_err(|why| why.to_string());
        }
    }
    Err("a number does not end".to_string())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).expect("a hexadecimal digit") as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn what_is_written_is_read_and_nothing_else() {
    let table = Table::scheduler();
    let call = serde_json::json!({
        "framework_id": { "value": "f" },
        "type": "ACKNOWLEDGE",
        "acknowledge": { "agent_id": { "value": "a" }, "task_id": { "value": "t" }, "uuid": "00ff" },
    });
    let bytes = table.encode("scheduler.Call", &call);
    assert_eq!(bytes[..5], [0x42, 14, 0x0a, 3, 0x0a]);
    assert_eq!(table.decode("scheduler.Call", &bytes), Ok(call));
    for end in 1..bytes.len() {
        let cut = table.decode("scheduler.Call", &bytes[..end]);
        assert!(cut.is_err() || end == 16 || end == 21, "{end}: {cut:?}");
    }
    for (bad, why) in [
        (
            &b"\x0a\x00"[..],
            "scheduler.Call.framework_id: FrameworkID.value is absent",
        ),
        (b"\x12\x01", "scheduler.Call.type: wire type 2 for 0"),
        (
            b"\x10\x63",
            "scheduler.Call.type: scheduler.Call.Type has no 99",
        ),
        (
            b"\x10\x81\x00",
            "scheduler.Call.type: a number is longer than it must be",
        ),
        (b"\x10\x01\x10\x01", "scheduler.Call.type stands twice"),
        (b"\xfa\x07\x00", "scheduler.Call has no field 127"),
    ] {
        assert_eq!(table.decode("scheduler.Call", bad), Err(why.to_string()));
    }
}
