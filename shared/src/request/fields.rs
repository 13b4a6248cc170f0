//! Fields that may be written in more than one way.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::{AudioRequest, VideoRequest};

/// Settings of a part, or `false` to leave the part out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<T> {
    /// The part is left out.
    Off,
    /// The part as set.
    On(T),
}

/// Video settings, or `false`.
pub type VideoChoice = Choice<VideoRequest>;
/// Audio settings, or `false`.
pub type AudioChoice = Choice<AudioRequest>;

/// A part of an output that may be left out.
pub trait Part {
    /// The name of the choice in the schema.
    const NAME: &'static str;
    /// What may be written, as part of a sentence.
    const EXPECTED: &'static str;
    /// The same for the schema.
    const DESCRIPTION: &'static str;
}

impl Part for VideoRequest {
    const NAME: &'static str = "VideoChoice";
    const EXPECTED: &'static str = "video settings, or false to leave video out";
    const DESCRIPTION: &'static str = "Video settings, or `false` to leave video out.";
}

impl Part for AudioRequest {
    const NAME: &'static str = "AudioChoice";
    const EXPECTED: &'static str = "audio settings, or false to leave audio out";
    const DESCRIPTION: &'static str = "Audio settings, or `false` to leave audio out.";
}

impl<T: Default> Default for Choice<T> {
    fn default() -> Self {
        Self::On(T::default())
    }
}

impl<T: Serialize> Serialize for Choice<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => s.serialize_bool(false),
            Self::On(settings) => settings.serialize(s),
        }
    }
}

impl<'de, T: Deserialize<'de> + Default + Part> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Reading<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default + Part> Visitor<'de> for Reading<T> {
            type Value = Choice<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Choice<T>, E> {
                Ok(if on { Choice::default() } else { Choice::Off })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Choice<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Choice::On)
            }
        }
        d.deserialize_any(Reading(PhantomData))
    }
}

impl<T: ToSchema + Part> PartialSchema for Choice<T> {
    fn schema() -> RefOr<Schema> {
        let off = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).build();
        let choices = OneOfBuilder::new().item(off).item(Ref::from_schema_name(T::name()));
        choices.description(Some(T::DESCRIPTION)).into()
    }
}

impl<T: ToSchema + Part> ToSchema for Choice<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
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
            .minimum(Some(1_000))
            .description(Some("Bits a second."));
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^[0-9]+[kKmM]?$"))
            .description(Some("Such as `128k`."));
        OneOfBuilder::new().item(number).item(text).into()
    }
}

impl ToSchema for BitRate {}
