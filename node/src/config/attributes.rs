//! The attributes of an agent as an operator writes them.

use std::fmt;
use std::sync::Arc;

use shoal_api::agent::AttributeValue;
use shoal_api::{Amount, Attribute, Resources};

/// Attributes, with the text that they were read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    text: String,
    list: Vec<Attribute>,
}

impl Attributes {
    /// Reads `rack:a;ssd:true;bays:[1-4];weight:1.5`. Source: Mesos' `--attributes`.
    ///
    /// # Errors
    /// Which of them cannot be read, and why.
    pub fn parse(text: &str) -> Result<Attributes, String> {
        let parts = text.split(';').map(str::trim).filter(|p| !p.is_empty());
        let list = parts.map(attribute).collect::<Result<_, _>>()?;
        Ok(Attributes {
            text: text.to_owned(),
            list,
        })
    }

    /// Each of them.
    pub fn list(&self) -> &[Attribute] {
        &self.list
    }
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn attribute(part: &str) -> Result<Attribute, String> {
    let bad = |why: &str| {
        format!(
            "attribute '{part}' cannot be read: {why}; attributes look like \
             rack:a;weight:1.5;bays:[1-4]"
        )
    };
    let (name, value) = part.split_once(':').ok_or_else(|| bad("it has no ':'"))?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return Err(bad("its name or its value is empty"));
    }
    let value = if value.starts_with('[') {
        let parsed =
            Resources::parse(&format!("x:{value}")).map_err(|error| bad(&error.to_string()))?;
        match parsed.get("x") {
            Some(shoal_api::Value::Ranges(ranges)) => AttributeValue::Ranges(ranges.clone()),
            Some(shoal_api::Value::Scalar(_) | shoal_api::Value::Set(_)) | None => {
                return Err(bad("a range list is [BEGIN-END,...]"));
            }
        }
    } else {
        match value.parse().ok().and_then(Amount::from_f64) {
            Some(amount) => AttributeValue::Scalar(amount),
            None => AttributeValue::Text(Arc::from(value)),
        }
    };
    Ok(Attribute {
        name: Arc::from(name),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_three_kinds() {
        let read = Attributes::parse("rack:a; weight:1.5;bays:[1-4]").unwrap();
        let list = read.list();
        assert_eq!(list[0].value, AttributeValue::Text(Arc::from("a")));
        assert_eq!(list[1].value, AttributeValue::Scalar(Amount(1500)));
        assert!(matches!(&list[2].value, AttributeValue::Ranges(r) if r.len() == 1));
        assert!(Attributes::parse("rack").is_err());
        assert!(Attributes::parse("").unwrap().list().is_empty());
    }
}
