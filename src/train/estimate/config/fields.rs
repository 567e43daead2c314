//! Numbers and names out of a `config.json`, each checked.

use crate::print::Name;
use serde_json::{Map, Value};

/// What is wrong with a field, in words.
pub(super) type Wrong = String;

/// No size in a configuration is larger: the largest vocabularies and contexts have seven digits.
const MOST: u64 = 1 << 32;

/// The fields of one JSON object.
pub(super) struct Fields<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A whole number, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Wrong> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        match value.as_u64() {
            Some(number) if number <= MOST => Ok(Some(number)),
            _ => Err(format!("`{name}` is no size")),
        }
    }

    /// A whole number that is not 0.
    pub(super) fn size(&self, name: &str) -> Result<u64, Wrong> {
        match self.number(name)? {
            Some(0) => Err(format!("`{name}` is 0")),
            Some(number) => Ok(number),
            None => Err(format!("`{name}` is not there")),
        }
    }

    pub(super) fn size_or(&self, name: &str, default: u64) -> Result<u64, Wrong> {
        match self.value(name) {
            Some(_) => self.size(name),
            None => Ok(default),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.value(name)?.as_str()
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.value(name).and_then(Value::as_bool).unwrap_or(default)
    }

    pub(super) fn object(&self, name: &str) -> Option<Fields<'a>> {
        self.value(name)?.as_object().map(Fields)
    }

    /// A list of words.
    pub(super) fn words(&self, name: &str) -> Result<Option<Vec<&'a str>>, Wrong> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let wrong = || format!("`{name}` is no list of words");
        let list = value.as_array().ok_or_else(wrong)?;
        let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        words.ok_or_else(wrong).map(Some)
    }

    /// A list of whole numbers.
    pub(super) fn numbers(&self, name: &str) -> Result<Option<Vec<u64>>, Wrong> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let wrong = || format!("`{name}` is no list of numbers");
        let list = value.as_array().ok_or_else(wrong)?;
        let numbers: Option<Vec<u64>> = list.iter().map(Value::as_u64).collect();
        numbers.ok_or_else(wrong).map(Some)
    }
}

/// A word of the file, as it may be told.
pub(super) fn told(word: &str) -> String {
    Name::cut(word, 40).to_string()
}
