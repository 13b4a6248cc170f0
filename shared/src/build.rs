//! Facts about how this program was built, for `--version`, metrics and bug reports.

use std::sync::OnceLock;

/// How this program was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// The product's version.
    pub version: &'static str,
    /// The commit, shortened, as `RUSHES_COMMIT` named it when the program was built; `make` does.
    pub commit: &'static str,
    /// The compiler, such as `rustc 1.95.0`.
    pub rustc: &'static str,
    /// Cargo's profile: `debug` or `release`.
    pub profile: &'static str,
    /// The target triple.
    pub target: &'static str,
    /// The newest worker protocol that this program speaks.
    pub wire: &'static str,
}

static COMMIT: OnceLock<&'static str> = OnceLock::new();

/// Names the commit, first thing in a program: `name_commit(option_env!("RUSHES_COMMIT"))`.
pub fn name_commit(commit: Option<&'static str>) {
    if let Some(commit) = commit.filter(|c| !c.is_empty()) {
        // A second name would be the same program's.
        let _same = COMMIT.set(commit);
    }
}

/// The facts of this build.
#[must_use]
pub fn info() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        commit: COMMIT.get().copied().unwrap_or("unknown"),
        rustc: env!("RUSHES_BUILD_RUSTC"),
        profile: env!("RUSHES_BUILD_PROFILE"),
        target: env!("RUSHES_BUILD_TARGET"),
        wire: wire_name(),
    }
}

/// The text of `--version` behind the program's name, on one line for scripts.
#[must_use]
pub fn long_version() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let i = info();
        format!(
            "{} (commit {}, {}, {} build, {}, wire {})",
            i.version, i.commit, i.rustc, i.profile, i.target, i.wire
        )
    })
}

fn wire_name() -> &'static str {
    crate::wire::WORKER_ALPNS.first().and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("none")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_line_names_what_a_bug_report_needs() {
        let text = super::long_version();
        for part in [env!("CARGO_PKG_VERSION"), "commit ", "rustc ", "wire rushes/"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
