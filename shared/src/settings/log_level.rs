//! The one setting whose grammar is not TOML's: which events are logged.

/// Levels, least first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether `text` is a filter of log events: a level, or a list of `MODULE=LEVEL` and levels with commas between them.
///
/// The parser of `tracing` takes any word for the name of a module, so that a misspelt level would log nothing at all.
///
/// # Errors
/// What is wrong, and what to write instead.
pub fn check_log_level(text: &str) -> Result<(), String> {
    let levels = LEVELS.join(", ");
    for part in text.split(',').map(str::trim) {
        let (module, level) = part.rsplit_once('=').map_or((None, part), |(m, level)| (Some(m), level));
        if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            return Err(format!(
                "'{level}' is no level: use {levels}, or give modules their own, as in \"info,rushes_net=debug\""
            ));
        }
        let is_path =
            |m: &str| !m.is_empty() && m.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
        if module.is_some_and(|m| !is_path(m)) {
            return Err(format!("'{part}' should be MODULE=LEVEL, with one of {levels}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_named_with_those_that_there_are() {
        for (level, word) in
            [("zzz", "'zzz' is no level"), ("info,x=loud", "'loud'"), ("=info", "MODULE=LEVEL"), ("", "''")]
        {
            let error = check_log_level(level).expect_err(level);
            assert!(error.contains(word) && error.contains("warn, info, debug"), "{error}");
        }
        assert_eq!(check_log_level("WARN, rushes_coordinator::api=trace"), Ok(()));
    }
}
