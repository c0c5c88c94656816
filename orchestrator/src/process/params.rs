//! Hyperparameters as JSON, for scripts that read them from the environment.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Msgpack as JSON. What JSON has no word for: binary data becomes base64 text, not a number
/// and the infinities become `null`, keys that are no texts become their JSON text.
///
/// # Errors
/// In words: the bytes are not msgpack, or not a map.
pub(crate) fn to_json(hyperparams: &[u8]) -> Result<Map<String, Value>, String> {
    if hyperparams.is_empty() {
        return Ok(Map::new());
    }
    // Bounds the depth, and knows at which byte it stops being msgpack.
    trainwire_protocol::msgpack::check(hyperparams).map_err(|error| error.to_string())?;
    let Json(value) = rmp_serde::from_slice(hyperparams).map_err(|error| error.to_string())?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err("they are msgpack, but not a map".to_owned()),
    }
}

struct Json(Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Self)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a msgpack value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(base64(value).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Json(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((Json(key), Json(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                other => other.to_string(),
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }

    /// An extension: its type and its data.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            text.push(if place <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_msgpack_value_has_a_json_form() {
        // {"lr": 0.1, "n": -3, "raw": bin "\x00\x01", "nan": NaN, 7: [nil, true]}
        let bytes = b"\x85\xa2lr\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a\xa1n\xfd\xa3raw\xc4\x02\x00\x01\xa3nan\xcb\x7f\xf8\0\0\0\0\0\0\x07\x92\xc0\xc3";
        let json: Value = Value::Object(to_json(bytes).unwrap());
        assert_eq!(
            json,
            serde_json::json!({"lr": 0.1, "n": -3, "raw": "AAE=", "nan": null, "7": [null, true]})
        );
    }

    #[test]
    fn what_is_no_map_is_refused_in_words() {
        assert!(to_json(b"").unwrap().is_empty());
        assert_eq!(to_json(b"\x93\x01\x02\x03").unwrap_err(), "they are msgpack, but not a map");
        assert!(to_json(b"\x82\xa1").is_err());
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
