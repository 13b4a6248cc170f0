//! Fields that may be written in more than one way.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::AudioRequest;

/// Audio settings, or `false`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AudioChoice {
    /// Audio is left out.
    Off,
    /// Audio as set.
    On(AudioRequest),
}

impl Default for AudioChoice {
    fn default() -> Self {
        Self::On(AudioRequest::default())
    }
}

impl Serialize for AudioChoice {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => s.serialize_bool(false),
            Self::On(settings) => settings.serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for AudioChoice {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = AudioChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("audio settings, or false to leave audio out")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<AudioChoice, E> {
                Ok(if on { AudioChoice::default() } else { AudioChoice::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AudioChoice, A::Error> {
                AudioRequest::deserialize(MapAccessDeserializer::new(map)).map(AudioChoice::On)
            }
        }
        d.deserialize_any(Choice)
    }
}

impl PartialSchema for AudioChoice {
    fn schema() -> RefOr<Schema> {
        let off = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).build();
        let choices = OneOfBuilder::new().item(off).item(Ref::from_schema_name("AudioRequest"));
        choices.description(Some("Audio settings, or `false` to leave audio out.")).into()
    }
}

impl ToSchema for AudioChoice {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((AudioRequest::name().into_owned(), AudioRequest::schema()));
        AudioRequest::schemas(schemas);
    }
}

/// A bit rate, in bits a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BitRate(pub i64);

impl std::str::FromStr for BitRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            let text: String = text.chars().take(40).collect();
            format!("'{text}' is not a bit rate: write bits a second as a number, or a text such as \"128k\"")
        };
        let text = text.trim();
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
            _ => (text, 1),
        };
        digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor)).map(Self).ok_or_else(bad)
    }
}

impl Serialize for BitRate {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for BitRate {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Rate;
        impl Visitor<'_> for Rate {
            type Value = BitRate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bits a second as a number, or a text such as \"128k\"")
            }

            fn visit_i64<E: Error>(self, rate: i64) -> Result<BitRate, E> {
                Ok(BitRate(rate))
            }

            fn visit_u64<E: Error>(self, rate: u64) -> Result<BitRate, E> {
                Ok(BitRate(i64::try_from(rate).unwrap_or(i64::MAX)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<BitRate, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Rate)
    }
}

impl PartialSchema for BitRate {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(16_000))
            .maximum(Some(512_000))
            .description(Some("Bits a second."));
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^[0-9]+[kKmM]?$"))
            .description(Some("Such as `128k`."));
        OneOfBuilder::new().item(number).item(text).into()
    }
}

impl ToSchema for BitRate {}
