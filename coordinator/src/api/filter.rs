//! What a list's query asks for: `?key=value&key=value`, with known keys only.

use std::str::FromStr;

use actix_web::web;

use super::problem::Problem;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Filter(Vec<(String, String)>);

impl Filter {
    /// Reads a query that may have these parameters.
    pub(super) fn read(query: &str, known: &[&str]) -> Result<Self, Problem> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|e| Problem::parameter("query", e))?
            .into_inner();
        match pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => {
                let (last, rest) = known.split_last().expect("a list can be filtered by something");
                let words = if rest.is_empty() {
                    (*last).to_owned()
                } else {
                    format!("{} or {last}", rest.join(", "))
                };
                Err(Problem::parameter(key, format!("there is no such parameter: use {words}")))
            }
            None => Ok(Self(pairs)),
        }
    }

    /// Every value of a parameter that may be repeated.
    pub(super) fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that stands once.
    pub(super) fn one<'a>(&'a self, key: &str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(key);
        let first = values.next();
        match values.find(|other| Some(*other) != first) {
            Some(_) => Err(Problem::parameter(key, "two different values; send one")),
            None => Ok(first),
        }
    }

    /// The same, as something that can be read from text.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, key: &str) -> Result<Option<T>, Problem> {
        self.one(key)?.map(|value| value.parse().map_err(|e| Problem::parameter(key, e))).transpose()
    }

    /// The same, as one of some words.
    pub(super) fn word<'a>(&'a self, key: &str, words: &[&str]) -> Result<Option<&'a str>, Problem> {
        match self.one(key)? {
            Some(value) if !words.contains(&value) => {
                let detail = format!("'{value}' is none: use {}", words.join(", "));
                Err(Problem::parameter(key, detail))
            }
            other => Ok(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_what_is_unknown_is_named() {
        let filter = Filter::read("tag=a&tag=b&name=n%20x", &["name", "tag"]).expect("it is right");
        assert_eq!(filter.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(filter.one("name").expect("it stands once"), Some("n x"));
        assert!(filter.one("tag").is_err());
        assert_eq!(filter.word("name", &["n x"]).expect("it is one of them"), Some("n x"));
        assert!(filter.word("name", &["other"]).is_err());
        assert!(filter.parsed::<u32>("name").is_err());
        assert!(Filter::read("nam=x", &["name", "tag"]).is_err());
    }
}
